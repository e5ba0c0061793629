"""The training loop: a recipe in, a run folder with a trained classifier out."""

import contextlib
import math
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nin_onnx.data import Dataset
from nin_onnx.errors import Interrupted, TrainingError
from nin_onnx.train import checkpoint, device, examples, progress, schedule, state, stopping, team
from nin_onnx.train.checkpoint import Checkpoint
from nin_onnx.train.evaluation import count_errors
from nin_onnx.train.examples import Examples
from nin_onnx.train.health import check_alive
from nin_onnx.train.learner import Learner
from nin_onnx.train.network import Classifier
from nin_onnx.train.randomness import Purpose, seeded
from nin_onnx.train.recipe import Recipe, unmeant
from nin_onnx.train.run import Epoch, Run
from nin_onnx.train.state import Conditions, State
from nin_onnx.train.summary import summarise
from nin_onnx.train.team import Team

__all__ = ["Echo", "resume", "train"]

SAVE_EVERY = 60.0  # seconds between two states on the disk
AGREE_EVERY = 10  # steps between two questions to the other processes of a team
CHECK_EVERY = 100  # steps between looks at the loss: each look waits for the device

Echo = Callable[[str], None]


def train(
    recipe: Recipe,
    folder: Path,
    *,
    seed: int = 0,
    data_dir: Path | None = None,
    on: str = "auto",
    deterministic: bool = False,
    deadline: float = math.inf,
    echo: Echo = print,
) -> dict[str, Any]:
    """Train `recipe` into the new run `folder`, and return its summary.

    With `train.validation` images held out the test set is not touched; without, it is looked at once, at the end.
    `deterministic` makes CUDA repeatable to the bit, which the CPU always is. At `deadline`, by `time.monotonic`, the run is
    interrupted. Started by torchrun, all processes train together, and the first one writes. Raises `DataError`,
    `RecipeError`, `RunError`, `Interrupted`, and `TrainingError` where the network dies.
    """
    run, where = Run(folder), device.choose(on)
    device.set_up(where, deterministic=deterministic)
    with team.joined(where) as members:
        run.check_new()  # before the data, which may have to be downloaded
        members.wait()  # all have looked before the leader writes
        # Nothing here may outlive the team, so it has no name.
        return _Training(recipe, run, data_dir, on, deterministic, members, echo).begin(seed, deadline)


def resume(
    folder: Path,
    *,
    data_dir: Path | None = None,
    on: str = "auto",
    deterministic: bool = False,
    deadline: float = math.inf,
    echo: Echo = print,
) -> dict[str, Any]:
    """Go on with an interrupted run from its last state, and return its summary: it ends as if nothing had happened.

    In a team every process reads `folder`; on several machines it lies on a disk that all of them see.
    """
    run, where = Run(folder), device.choose(on)
    run.check_resumable()
    device.set_up(where, deterministic=deterministic)
    with team.joined(where) as members:
        return _Training(run.recipe(), run, data_dir, on, deterministic, members, echo).go_on(deadline)


class _Training:
    """A run under way: its images, its learner, and its place, with what the steps of the epoch add up to."""

    def __init__(
        self, recipe: Recipe, run: Run, data_dir: Path | None, on: str, deterministic: bool, members: Team, echo: Echo
    ) -> None:
        self.recipe, self.run, self.device, self.team = recipe, run, device.choose(on), members
        self.flags = _flags(data_dir, on, deterministic)
        self.echo: Echo = echo if members.leads else lambda line: None
        if not members.leads_its_machine:
            members.wait()  # until what is absent has been downloaded
        self.dataset = examples.load(recipe, "train", data_dir)
        # Read now and judged at the end, so that a broken file costs no training.
        self.test = None if recipe.train.validation else examples.load(recipe, "test", data_dir)
        if members.leads_its_machine:
            members.wait()
        examples.check(recipe, self.dataset, members.size)
        cut = len(self.dataset) - max(recipe.train.validation, self.dataset.held_out)
        self.trained_on = self.dataset[:cut]
        self.images, self.labels = examples.to_device(self.trained_on, self.device)
        self.held_out = self._part(self.dataset[len(self.dataset) - recipe.train.validation :])
        self.curve = self._part(self.test) if self.test is not None and recipe.train.test_curve else None
        self.classes = len(self.dataset.classes)
        self.steps_per_epoch = math.ceil(cut / recipe.train.batch_size)
        self.conditions = Conditions(
            dataset=self.dataset.fingerprint,
            precision=str(device.precision(recipe.train.precision, self.device)).removeprefix("torch."),
            deterministic=deterministic,
            device=torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu",
            processes=members.size,
            threads=torch.get_num_threads(),
        )
        self.loss, self.wrong = (torch.zeros((), device=self.device) for _ in range(2))
        self.saved = time.monotonic()
        self.new = False

    def begin(self, seed: int, deadline: float) -> dict[str, Any]:
        """The whole run."""
        with self._alone():
            self._create(seed)
            return self._finish(deadline)

    def go_on(self, deadline: float) -> dict[str, Any]:
        """What is left of it."""
        with self._alone():
            if self.team.leads:
                self.run.check_resumable()  # once more: until here, another process may have trained it
            self._restore()
            return self._finish(deadline)

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        return self.run.locked() if self.team.leads else contextlib.nullcontext()

    def _create(self, seed: int) -> None:
        """Fit the preprocessing, draw the first weights, and make the run's folder, from which the run can go on."""
        for line in unmeant(self.recipe):
            self.echo(line)
        classifier = checkpoint.build_classifier(self.recipe, self.classes)
        if self.team.leads:
            classifier.preprocessing.fit(torch.from_numpy(self.trained_on.images))
            self.run.create(self.recipe, lambda path: checkpoint.write(path, classifier.preprocessing.state_dict(), {}))
        self.learner = self._learner(classifier)
        self.team.share(self.learner.preprocessing.buffers())
        self.learner.begin(seed)
        self.state, self.new = State(seed), True
        self.save()

    def save(self) -> None:
        """Write all that the next step needs, so that it can be done in another process."""
        sums = self.team.gather(torch.stack([self.loss, self.wrong]))
        if self.team.leads:
            tensors = {**self.learner.state(), "sums": sums}
            state.write(self.run, self.recipe, self.state, self.conditions, tensors)
        self.saved = time.monotonic()

    def _restore(self) -> None:
        """Put back what `_create` and `save` wrote."""
        fitted, _ = checkpoint.read(self.run.preprocessing)
        self.state, tensors, differing = state.read(self.run, self.recipe, self.conditions)
        classifier = checkpoint.build_classifier(self.recipe, self.classes)
        try:
            sums = tensors.pop("sums").to(self.device)
            classifier.preprocessing.load_state_dict(fitted)
            self.learner = self._learner(classifier)
            self.learner.restore(tensors, self.state.seed)
        except (KeyError, ValueError, RuntimeError) as error:
            raise state.unusable(self.run, error) from error
        self.loss, self.wrong = _own(sums, self.team)
        self.team.wait()  # all have read before the leader writes
        if self.team.leads:
            self.run.clear()
        for line in differing:
            self.echo(f"the last bits may differ from an undisturbed run's: {line}")
        self.echo(f"resumed {self._place()}")

    def _learner(self, classifier: Classifier) -> Learner:
        deterministic = self.conditions.deterministic
        return Learner(self.recipe, classifier, self.device, self.team, self.echo, deterministic=deterministic)

    def _finish(self, deadline: float) -> dict[str, Any]:
        """Train what is left, test, and write what came out."""
        try:
            with stopping.asked(deadline) as stopped:
                while not schedule.ended(self.recipe, self._train_errors(), self.classes):
                    self.state.epochs.append(self._epoch(stopped))
                    if self.team.leads:
                        self.run.write_metrics(self.state.epochs)
                    self.echo(progress.line(self.state.epochs, self.recipe.train.epochs))
                    self._pause(stopped)
            self.save()
            return self._conclude()
        except KeyboardInterrupt as error:
            raise self._interrupted() from error
        except TrainingError:
            if self.team.leads and self.new and not self.state.epochs:
                self.run.discard()  # so that the same command can be given again, with another seed or rate
            raise

    def _conclude(self) -> dict[str, Any]:
        classifier = self.learner.result()
        wrong = None if self.test is None else self._count(classifier, self._part(self.test))
        summary = summarise(self.learner, self.state.epochs, self.trained_on, self.test, wrong)
        if self.team.leads:
            self.run.write_summary(summary)
            description = Checkpoint(
                self.recipe, self.state.seed, self.dataset.classes, self.trained_on.describe(), summary["versions"]
            )
            checkpoint.save_classifier(self.run.model, classifier.state_dict(), description)
            for file in (self.run.state, self.run.preprocessing):
                file.unlink(missing_ok=True)
        return summary

    def _epoch(self, stopped: Callable[[], bool]) -> Epoch:
        number, total = len(self.state.epochs), self.recipe.train.epochs
        order = torch.randperm(len(self.labels), generator=seeded(self.state.seed, Purpose.ORDER, number)).to(self.device)
        batches = order.split(self.recipe.train.batch_size)
        stops = schedule.plateaus(self._train_errors(), self.recipe.schedule.patience, self.classes)
        rate = 0.0
        seen = sum(map(len, batches[: self.state.steps]))
        start = time.perf_counter() - self.state.seconds
        with progress.bar(len(order), seen, f"epoch {number + 1}/{total}", hidden=not self.team.leads) as bar:
            for rows in batches[self.state.steps :]:
                step = number * len(batches) + self.state.steps
                factor = schedule.rate_factor(self.recipe.schedule, step, total * len(batches), len(batches), stops)
                rate = self.recipe.optimizer.learning_rate * factor
                self.learner.optimizer.set_rate(rate)
                loss, wrong = self.learner.step(self.images[rows], self.labels[rows], step)
                self.loss += loss
                self.wrong += wrong
                self.state.steps += 1
                seen += len(rows)
                if self.state.steps % CHECK_EVERY == 0 or seen == len(order):
                    self._check_alive()
                self.state.seconds = time.perf_counter() - start
                bar.show(len(rows), self.loss * self.team.size, self.wrong * self.team.size, self.state.seconds)
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
            seconds=self.state.seconds,
            images_per_second=seen / self.state.seconds,
        )
        self.state.steps, self.state.seconds = 0, 0.0
        self.loss, self.wrong = torch.zeros_like(self.loss), torch.zeros_like(self.wrong)
        return epoch

    def _pause(self, stopped: Callable[[], bool]) -> None:
        """Save when it is time, and stop when somebody asked for it; a team does both together."""
        if self.team.size > 1 and self.state.steps % AGREE_EVERY:
            return
        due = self.team.leads and time.monotonic() - self.saved >= SAVE_EVERY
        stop, save = self.team.any((stopped(), due), self.device)
        if stop or save:
            self._check_alive()  # weights that are lost do not take the place of the last good ones
            self.save()
        if stop:
            raise self._interrupted()

    def _check_alive(self) -> None:
        step = len(self.state.epochs) * self.steps_per_epoch + self.state.steps
        check_alive(
            float(self.team.sum(self.loss)), int(self.learner.silent), step, self.classes, self.recipe.optimizer.learning_rate
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
        return [epoch.train_error for epoch in self.state.epochs]

    def _place(self) -> str:
        done, total = len(self.state.epochs), self.recipe.train.epochs
        if self.state.steps:
            return f"at step {self.state.steps} of {self.steps_per_epoch} in epoch {done + 1} of {total}"
        return f"after epoch {done} of {total}"

    def _interrupted(self) -> Interrupted:
        command = (*self.team.launcher, "train", "--resume", str(self.run.folder), *self.flags)
        return Interrupted(f"stopped {self._place()}: go on with {shlex.join(command)}")


def _flags(data_dir: Path | None, on: str, deterministic: bool) -> list[str]:
    """The options that a run is resumed with, since it keeps none of them."""
    flags = ["--device", on] if on != "auto" else []
    if data_dir is not None:
        flags += ["--data-dir", str(data_dir)]
    return [*flags, "--deterministic"] if deterministic else flags


def _own(sums: Tensor, members: Team) -> Tensor:
    """What this process has of `sums` [processes, 2], of loss and errors: its own, or an even part where others wrote them."""
    if len(sums) == members.size:
        return sums[members.rank]
    loss, wrong = sums.sum(0)
    part = members.part(int(wrong))  # of whole errors, so that their sum is exact
    return torch.stack([loss / members.size, torch.full_like(wrong, part.stop - part.start)])
