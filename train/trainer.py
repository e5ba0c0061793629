"""The training loop: a recipe in, a run folder with a trained classifier out."""

import contextlib
import math
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nin_onnx.errors import Interrupted, TrainingError
from nin_onnx.train import checkpoint, device, examples, progress, schedule, state, stopping, team
from nin_onnx.train.checkpoint import Checkpoint
from nin_onnx.train.evaluation import error_of_all, errors_of_all
from nin_onnx.train.examples import TrainingData
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
    `RecipeError`, `RunError`, `Interrupted`, and `TrainingError` if the network dies.
    """
    run, where = Run(folder), device.choose(on)
    device.set_up(where, deterministic=deterministic)
    with team.joined(where) as members:
        run.check_new()  # before the data, which may have to be downloaded
        members.wait()  # all have looked before the leader writes
        data = TrainingData.load(recipe, data_dir, where, members)
        flags = _flags(data_dir, on, deterministic)
        # Do not bind this: it must be freed before the process group is destroyed.
        return _Training(recipe, run, data, where, members, flags, echo, deterministic).begin(seed, deadline)


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
    recipe = run.recipe()
    device.set_up(where, deterministic=deterministic)
    with team.joined(where) as members:
        data = TrainingData.load(recipe, data_dir, where, members)
        flags = _flags(data_dir, on, deterministic)
        return _Training(recipe, run, data, where, members, flags, echo, deterministic).go_on(deadline)


class _Training:
    """A run under way. Read `_finish`, `_epoch` and `_step` first: they are the loop."""

    def __init__(
        self,
        recipe: Recipe,
        run: Run,
        data: TrainingData,
        where: torch.device,
        members: Team,
        flags: list[str],
        echo: Echo,
        deterministic: bool,
    ) -> None:
        self.recipe, self.run, self.data, self.device, self.team, self.flags = recipe, run, data, where, members, flags
        self.echo: Echo = echo if members.leads else lambda line: None
        self.conditions = Conditions(
            dataset=data.fingerprint,
            precision=str(device.precision(recipe.train.precision, where)).removeprefix("torch."),
            deterministic=deterministic,
            device=torch.cuda.get_device_name(where) if where.type == "cuda" else "cpu",
            processes=members.size,
            threads=torch.get_num_threads(),
        )
        self.sums = torch.zeros(2, device=where)
        """Loss and errors of this process in the epoch that is not over."""
        self.saved, self.new = time.monotonic(), False

    def begin(self, seed: int, deadline: float) -> dict[str, Any]:
        """Do the whole run."""
        with self._alone():
            self._create(seed)
            return self._finish(deadline)

    def go_on(self, deadline: float) -> dict[str, Any]:
        """Do what is left of it."""
        with self._alone():
            if self.team.leads:
                self.run.check_resumable()  # once more: until here, another process may have trained it
            self._restore()
            return self._finish(deadline)

    def _finish(self, deadline: float) -> dict[str, Any]:
        """Train what is left, test, and write what came out."""
        try:
            self.learner.learn_from(self.data.examples)
            with stopping.asked(deadline) as stopped:
                while not schedule.ended(self.recipe, self._train_errors(), len(self.data.labels)):
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

    def _epoch(self, stopped: Callable[[], bool]) -> Epoch:
        """Train on every image once, in the order of this epoch, from the step that is next."""
        number, total = len(self.state.epochs), self.recipe.train.epochs
        images = len(self.data.examples.labels)
        order = torch.randperm(images, generator=seeded(self.state.seed, Purpose.ORDER, number)).to(self.device)
        batches = order.split(self.recipe.train.batch_size)
        stops = schedule.plateaus(self._train_errors(), self.recipe.schedule.patience, len(self.data.labels))
        seen, rate = sum(map(len, batches[: self.state.steps])), 0.0
        start = time.perf_counter() - self.state.seconds
        with progress.bar(images, seen, f"epoch {number + 1}/{total}", hidden=not self.team.leads) as bar:
            for rows in batches[self.state.steps :]:
                rate = self._step(rows, number * len(batches) + self.state.steps, stops)
                self.state.steps += 1
                seen += len(rows)
                if self.state.steps % CHECK_EVERY == 0 or seen == images:
                    self._check_alive()
                self.state.seconds = time.perf_counter() - start
                bar.show(len(rows), self.sums * self.team.size, self.state.seconds)
                if seen < images:
                    self._pause(stopped)
        loss, wrong = self.team.sum(self.sums).tolist()
        classifier, judge = self.learner.result(), self.learner.dtype
        epoch = Epoch(
            epoch=number + 1,
            learning_rate=rate,
            train_loss=loss / seen,
            train_error=100 * wrong / seen,
            validation_error=error_of_all(classifier, self.data.held_out, self.team, judge),
            test_error=error_of_all(classifier, self.data.curve, self.team, judge),
            seconds=self.state.seconds,
            images_per_second=seen / self.state.seconds,
        )
        self.state.steps, self.state.seconds = 0, 0.0
        self.sums.zero_()
        return epoch

    def _step(self, rows: torch.Tensor, number: int, stops: int) -> float:
        """Do update `number` from the images `rows`, and return its learning rate."""
        steps = self.recipe.train.epochs * self.data.steps_per_epoch
        factor = schedule.rate_factor(self.recipe.schedule, number, steps, self.data.steps_per_epoch, stops)
        rate = self.recipe.optimizer.learning_rate * factor
        self.learner.optimizer.set_rate(rate)
        loss, wrong = self.learner.step(rows, number)
        self.sums += torch.stack([loss, wrong.float()])
        return rate

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
        step = len(self.state.epochs) * self.data.steps_per_epoch + self.state.steps
        loss, _ = self.team.sum(self.sums).tolist()
        check_alive(loss, int(self.learner.silent), step, len(self.data.labels), self.recipe.optimizer.learning_rate)

    def _conclude(self) -> dict[str, Any]:
        """Test the classifier, once, and write it and what came out."""
        classifier, test = self.learner.result(), self.data.test
        wrong = None
        if test is not None:
            mine = examples.to_device(test[self.team.part(len(test))], self.device)
            wrong = errors_of_all(classifier, mine, self.team, torch.float32)
        summary = summarise(self.learner, self.state.epochs, self.data.trained_on, test, wrong)
        if self.team.leads:
            self.run.write_summary(summary)
            trained_on = self.data.trained_on.describe()
            description = Checkpoint(self.recipe, self.state.seed, self.data.labels, trained_on, summary["versions"])
            checkpoint.save_classifier(self.run.model, classifier.state_dict(), description)
            for file in (self.run.state, self.run.preprocessing):
                file.unlink(missing_ok=True)
        return summary

    def _create(self, seed: int) -> None:
        """Fit the preprocessing, draw the first weights, and make the run's folder, from which the run can go on."""
        for line in unmeant(self.recipe):
            self.echo(line)
        classifier = checkpoint.build_classifier(self.recipe, len(self.data.labels))
        if self.team.leads:
            classifier.preprocessing.to(self.device).fit(self.data.examples.images)
            self.run.create(self.recipe, lambda path: checkpoint.write(path, classifier.preprocessing.state_dict(), {}))
        self.learner = self._learner(classifier)
        self.team.share(self.learner.preprocessing.buffers())
        self.learner.begin(seed)
        self.state, self.new = State(seed), True
        self.save()

    def save(self) -> None:
        """Write all that the next step needs, so that it can be done in another process."""
        sums = self.team.gather(self.sums)
        if self.team.leads:
            state.write(self.run, self.recipe, self.state, self.conditions, {**self.learner.state(), "sums": sums})
        self.saved = time.monotonic()

    def _restore(self) -> None:
        """Put back what `_create` and `save` wrote."""
        fitted, _ = checkpoint.read(self.run.preprocessing)
        self.state, tensors, differing = state.read(self.run, self.recipe, self.conditions)
        classifier = checkpoint.build_classifier(self.recipe, len(self.data.labels))
        try:
            sums = tensors.pop("sums").to(self.device)
            classifier.preprocessing.load_state_dict(fitted)
            self.learner = self._learner(classifier)
            self.learner.restore(tensors, self.state.seed)
        except (KeyError, ValueError, RuntimeError) as error:
            raise state.unusable(self.run, error) from error
        self.sums.copy_(state.own_sums(sums, self.team))
        self.team.wait()  # all have read before the leader writes
        if self.team.leads:
            self.run.clear()
        for line in differing:
            self.echo(f"the last bits may differ from an undisturbed run's: {line}")
        self.echo(f"resumed {self._place()}")

    def _learner(self, classifier: Classifier) -> Learner:
        deterministic = self.conditions.deterministic
        return Learner(self.recipe, classifier, self.device, self.team, self.echo, deterministic=deterministic)

    def _alone(self) -> contextlib.AbstractContextManager[None]:
        return self.run.locked() if self.team.leads else contextlib.nullcontext()

    def _train_errors(self) -> list[float]:
        return [epoch.train_error for epoch in self.state.epochs]

    def _place(self) -> str:
        done, total = len(self.state.epochs), self.recipe.train.epochs
        if self.state.steps:
            return f"at step {self.state.steps} of {self.data.steps_per_epoch} in epoch {done + 1} of {total}"
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
