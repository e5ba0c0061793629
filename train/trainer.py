"""The training loop: a recipe in, a run folder with a trained classifier out."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from nin_onnx.data import Dataset
from nin_onnx.errors import Interrupted, RunError, TrainingError
from nin_onnx.train import checkpoint, device, examples, progress, stopping, team
from nin_onnx.train.checkpoint import Checkpoint
from nin_onnx.train.evaluation import count_errors
from nin_onnx.train.examples import Examples
from nin_onnx.train.learner import Learner
from nin_onnx.train.network import Classifier
from nin_onnx.train.randomness import Purpose, seeded
from nin_onnx.train.recipe import Recipe
from nin_onnx.train.run import Epoch, Run
from nin_onnx.train.schedule import ended, plateaus, rate_factor, set_rate
from nin_onnx.train.summary import summarise
from nin_onnx.train.team import Team

__all__ = ["resume", "train"]

SAVE_EVERY = 60.0  # seconds between two states on the disk
AGREE_EVERY = 10  # steps between two questions to the other processes of a team
CHECK_EVERY = 100  # steps between looks at the loss: each look waits for the device
DEAD_AFTER = 20  # steps without a gradient: after fewer, momentum may still carry the weights back to life

Echo = Callable[[str], None]


def train(
    recipe: Recipe,
    folder: Path,
    *,
    seed: int = 0,
    data_dir: Path | None = None,
    on: str = "auto",
    deterministic: bool = False,
    echo: Echo = print,
) -> dict[str, Any]:
    """Train `recipe` into the new run `folder`, and return its summary.

    With `train.validation` images held out the test set is not touched; without, it is looked at once, at the end.
    `deterministic` makes CUDA repeatable to the bit, which the CPU always is. Started by torchrun, all processes train
    together, and the first one writes. Raises `DataError`, `RecipeError`, `RunError`, `Interrupted`, and `TrainingError`
    where the network dies.
    """
    run, where = Run(folder), device.choose(on)
    device.set_up(where, deterministic=deterministic)
    with team.joined(where) as members:
        run.check_new()  # before the data, which may have to be downloaded
        members.wait()  # all have looked before the leader writes
        training = _Training(recipe, run, data_dir, where, members, echo)
        training.begin(seed)
        return training.finish()


def resume(
    folder: Path, *, data_dir: Path | None = None, on: str = "auto", deterministic: bool = False, echo: Echo = print
) -> dict[str, Any]:
    """Go on with an interrupted run from its last state, and return its summary: it ends as if nothing had happened."""
    run, where = Run(folder), device.choose(on)
    device.set_up(where, deterministic=deterministic)
    if run.model.exists():
        raise RunError(f"the run '{folder}' has ended: nin-onnx export {folder}")
    if not run.state.exists():
        raise RunError(f"'{folder}' holds no state.safetensors to resume from: train it afresh with another --out")
    with team.joined(where) as members:
        training = _Training(run.recipe(), run, data_dir, where, members, echo)
        training.restore()
        return training.finish()


class _Training:
    """A run under way: its images, its learner, the epochs so far, and the place in the one that is not over."""

    def __init__(self, recipe: Recipe, run: Run, data_dir: Path | None, on: torch.device, members: Team, echo: Echo) -> None:
        self.recipe, self.run, self.device, self.team = recipe, run, on, members
        self.echo: Echo = echo if members.leads else lambda line: None
        if not members.leads:
            members.wait()  # until the leader has downloaded what is absent
        self.dataset = examples.load(recipe, "train", data_dir)
        # Read now and judged at the end, so that a broken file costs no training.
        self.test = None if recipe.train.validation else examples.load(recipe, "test", data_dir)
        if members.leads:
            members.wait()
        examples.check(recipe, self.dataset, members.size)
        cut = len(self.dataset) - max(recipe.train.validation, self.dataset.held_out)
        self.trained_on = self.dataset[:cut]
        self.images, self.labels = examples.to_device(self.trained_on, on)
        self.held_out = self._part(self.dataset[len(self.dataset) - recipe.train.validation :])
        self.curve = self._part(self.test) if self.test is not None and recipe.train.test_curve else None
        self.learner = Learner(recipe, checkpoint.build_classifier(recipe, len(self.dataset.classes)), on, members)
        self.steps_per_epoch = math.ceil(cut / recipe.train.batch_size)
        self.epochs: list[Epoch] = []
        self.steps = 0
        """Of the epoch that is not over; the next three are of these steps."""
        self.seconds = 0.0
        self.loss, self.wrong = (torch.zeros((), device=on) for _ in range(2))
        self.saved = time.monotonic()

    def begin(self, seed: int) -> None:
        """Make the run's folder, fit the preprocessing, and draw the first weights."""
        if self.team.leads:
            self.run.create(self.recipe)
            try:
                self.learner.preprocessing.fit(self.images.cpu())
                checkpoint.write(self.run.preprocessing, self.learner.preprocessing.state_dict(), {})
            except BaseException:
                self.run.discard()
                raise
        self.team.share(self.learner.preprocessing.buffers())
        self.learner.begin(seed)

    def save(self) -> None:
        """Write all that the next step needs, so that it can be done in another process."""
        sums = self.team.gather(torch.stack([self.loss, self.wrong]))
        if self.team.leads:
            description = {
                "seed": self.learner.seed,
                "dataset": self.dataset.fingerprint,
                "precision": str(self.learner.dtype),
                "epochs": [asdict(epoch) for epoch in self.epochs],
                "steps": self.steps,
                "seconds": self.seconds,
            }
            checkpoint.write(self.run.state, {**self.learner.state(), "sums": sums}, description)
        self.saved = time.monotonic()

    def restore(self) -> None:
        """Put back what `save` wrote."""
        fitted, _ = checkpoint.read(self.run.preprocessing)
        tensors, description = checkpoint.read(self.run.state)
        try:
            for what, now in (("dataset", self.dataset.fingerprint), ("precision", str(self.learner.dtype))):
                if description[what] != now:
                    raise ValueError(f"its {what} was {description[what]}, here it is {now}")
            sums = tensors.pop("sums").to(self.device)
            self.learner.preprocessing.load_state_dict(fitted)
            self.learner.restore(tensors, description["seed"])
            self.epochs = [Epoch(**epoch) for epoch in description["epochs"]]
            self.steps, self.seconds = description["steps"], description["seconds"]
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RunError(
                f"'{self.run.state}' cannot be resumed here ({' '.join(str(error).split())}): resume where it began, or train "
                "afresh with another --out"
            ) from error
        if len(sums) == self.team.size:
            self.loss, self.wrong = sums[self.team.rank]
        elif self.team.leads:  # other processes than before: the leader takes what all had
            self.loss, self.wrong = sums.sum(0)
        self.team.wait()  # all have read before the leader writes
        if self.team.leads:
            self.run.clear()
        step = f", step {self.steps} of {self.steps_per_epoch}" if self.steps else ""
        self.echo(f"resumed after epoch {len(self.epochs)} of {self.recipe.train.epochs}{step}")

    def finish(self) -> dict[str, Any]:
        """Train what is left, test, and write what came out."""
        try:
            with stopping.asked() as stopped:
                while not ended(self.recipe, self._train_errors(), len(self.dataset.classes)):
                    self.epochs.append(self._epoch(stopped))
                    if self.team.leads:
                        self.run.write_metrics(self.epochs)
                    self.echo(progress.line(self.epochs, self.recipe.train.epochs))
                    self._pause(stopped)
            self.save()
            return self._conclude()
        except KeyboardInterrupt as error:
            raise Interrupted(self._stopped()) from error
        finally:
            if self.team.leads and not self.epochs and not self.run.state.exists():
                self.run.discard()  # so that the same command can be given again

    def _conclude(self) -> dict[str, Any]:
        classifier = self.learner.result()
        wrong = None if self.test is None else self._count(classifier, self._part(self.test))
        summary = summarise(self.learner, self.epochs, self.trained_on, self.test, wrong)
        if self.team.leads:
            self.run.write_summary(summary)
            description = Checkpoint(
                self.recipe, self.learner.seed, self.dataset.classes, self.trained_on.describe(), summary["versions"]
            )
            checkpoint.save_classifier(self.run.model, classifier.state_dict(), description)
            for file in (self.run.state, self.run.preprocessing):
                file.unlink(missing_ok=True)
        return summary

    def _epoch(self, stopped: Callable[[], bool]) -> Epoch:
        number, total = len(self.epochs), self.recipe.train.epochs
        order = torch.randperm(len(self.labels), generator=seeded(self.learner.seed, Purpose.ORDER, number)).to(self.device)
        stops = plateaus(self._train_errors(), self.recipe.schedule.patience, len(self.dataset.classes))
        batches = order.split(self.recipe.train.batch_size)
        rate = 0.0
        seen = sum(map(len, batches[: self.steps]))
        start = time.perf_counter() - self.seconds
        with progress.bar(len(order), seen, f"epoch {number + 1}/{total}", hidden=not self.team.leads) as bar:
            for rows in batches[self.steps :]:
                step = number * len(batches) + self.steps
                factor = rate_factor(self.recipe.schedule, step, total * len(batches), len(batches), stops)
                rate = self.recipe.optimizer.learning_rate * factor
                set_rate(self.learner.sgd, rate)
                loss, wrong = self.learner.step(self.images[rows], self.labels[rows], step)
                self.loss += loss
                self.wrong += wrong
                self.steps += 1
                seen += len(rows)
                self.seconds = time.perf_counter() - start
                if self.steps % CHECK_EVERY == 0 or seen == len(order):
                    self._check_alive(float(self.team.sum(self.loss)) / seen, step + 1)
                bar.show(len(rows), self.loss * self.team.size, self.wrong * self.team.size, self.seconds)
                if seen < len(order):
                    self._pause(stopped)
        total_loss, total_wrong = (float(self.team.sum(one)) for one in (self.loss, self.wrong))
        epoch = Epoch(
            epoch=number + 1,
            learning_rate=rate,
            train_loss=total_loss / seen,
            train_error=100 * total_wrong / seen,
            validation_error=self._error(self.held_out),
            test_error=self._error(self.curve),
            seconds=self.seconds,
            images_per_second=seen / self.seconds,
        )
        self.steps, self.seconds = 0, 0.0
        self.loss, self.wrong = torch.zeros_like(self.loss), torch.zeros_like(self.wrong)
        return epoch

    def _pause(self, stopped: Callable[[], bool]) -> None:
        """Save when it is time, and stop when somebody asked for it; a team does both together."""
        if self.team.size > 1 and self.steps % AGREE_EVERY:
            return
        first = not self.steps and not self.run.state.exists()  # from the end of the first epoch on something is kept
        due = self.team.leads and (first or time.monotonic() - self.saved >= SAVE_EVERY)
        stop, save = self.team.any((stopped(), due), self.device)
        if stop or save:
            self.save()
        if stop:
            raise Interrupted(self._stopped())

    def _check_alive(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise TrainingError(
                f"the loss became {loss} by step {step}: lower optimizer.learning_rate ({self.recipe.optimizer.learning_rate})"
            )
        if self.learner.silent >= DEAD_AFTER:
            classes = len(self.dataset.classes)
            raise TrainingError(
                f"the network is dead at step {step}: a whole layer is 0 after its ReLU for every image, so no gradient passes "
                f"it and the loss stays at ln {classes} = {math.log(classes):.4f}; start again with another --seed or a lower "
                f"optimizer.learning_rate"
            )

    def _part(self, dataset: Dataset) -> Examples:
        """What this process judges of `dataset`, on the device."""
        return examples.to_device(dataset[self.team.part(len(dataset))], self.device)

    def _error(self, judged: Examples | None) -> float | None:
        """Per cent of all the processes' images that are wrong now; None where there are none to look at."""
        if judged is None:
            return None
        images = int(self.team.sum(torch.tensor(len(judged.labels), device=self.device)))
        return 100 * self._count(self.learner.result(), judged, self.learner.dtype) / images if images else None

    def _count(self, classifier: Classifier, judged: Examples, dtype: torch.dtype = torch.float32) -> int:
        wrong = count_errors(classifier, *judged, dtype) if len(judged.labels) else 0
        return int(self.team.sum(torch.tensor(wrong, device=self.device)))

    def _train_errors(self) -> list[float]:
        return [epoch.train_error for epoch in self.epochs]

    def _stopped(self) -> str:
        if not self.run.state.exists():
            return "stopped in the first epoch: nothing is kept"
        done, total = len(self.epochs), self.recipe.train.epochs
        step = f"at step {self.steps} of {self.steps_per_epoch} in epoch {done + 1}" if self.steps else f"after epoch {done}"
        return f"stopped {step} of {total}: go on with nin-onnx train --resume {self.run.folder}"
