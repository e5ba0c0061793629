"""A training while it runs: how it begins, what it saves, and how it resumes from that."""

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from nin_onnx.errors import Interrupted
from nin_onnx.recipe import Recipe, ineffective
from nin_onnx.train import checkpoint, device, state
from nin_onnx.train.environment import computed_on
from nin_onnx.train.examples import TrainingData
from nin_onnx.train.learner import Learner
from nin_onnx.train.network import TorchClassifier
from nin_onnx.train.process_group import ProcessGroup
from nin_onnx.train.state import Conditions, TrainingState
from nin_onnx.train.writable_run import WritableRun

__all__ = ["Echo", "RunOptions", "RunningTraining"]

Echo = Callable[[str], None]


@dataclass(frozen=True)
class RunOptions:
    """What a run is trained with next to recipe and seed. The run does not store it, so a resumed run is given it again."""

    data_dir: Path | None = None
    on: str = "auto"
    """Device: `auto`, `cpu` or `cuda`."""
    deterministic: bool = False

    def arguments(self) -> list[str]:
        """Return them as arguments of `nin-onnx train`."""
        arguments = ["--device", self.on] if self.on != "auto" else []
        if self.data_dir is not None:
            arguments += ["--data-dir", str(self.data_dir)]
        return [*arguments, "--deterministic"] if self.deterministic else arguments


@dataclass
class RunningTraining:
    """All that the training loop works on; `begin` or `resume` comes first."""

    recipe: Recipe
    run: WritableRun
    options: RunOptions
    data: TrainingData
    group: ProcessGroup
    device: torch.device
    echo: Echo
    state: TrainingState = field(init=False)
    learner: Learner = field(init=False)
    sums: Tensor = field(init=False)
    """Loss and errors of this process in the current epoch: float32 [2]."""
    saved: float = field(default_factory=time.monotonic)
    """When the last state was written."""
    new: bool = False
    """Whether this process has begun it."""

    def __post_init__(self) -> None:
        self.echo = self.echo if self.group.is_main else lambda line: None
        self.sums = torch.zeros(2, device=self.device)
        self.conditions = Conditions(
            **computed_on(self.device, device.precision(self.recipe.train.precision, self.device)),
            dataset=self.data.fingerprint,
            deterministic=self.options.deterministic,
            processes=self.group.size,
            threads=torch.get_num_threads(),
        )

    def begin(self, seed: int) -> None:
        """Fit the preprocessing, draw the first weights, and make the run's folder, from which the run can be resumed."""
        for line in ineffective(self.recipe):
            self.echo(line)
        classifier = checkpoint.build_classifier(self.recipe, len(self.data.labels))
        if self.group.is_main:
            classifier.preprocessing.to(self.device).fit(self.data.examples.images)
            self.run.create(self.recipe, lambda path: checkpoint.write(path, classifier.preprocessing.state_dict(), {}))
        self.learner = self._learner(classifier)
        self.group.broadcast(self.learner.preprocessing.buffers())
        self.learner.begin(seed)
        self.state, self.new = TrainingState(seed), True
        self.save()

    def resume(self) -> None:
        """Put back what `begin` and `save` wrote."""
        if self.group.is_main:
            self.run.check_resumable()  # once more: before the lock, another process may have trained it
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
        self.sums.copy_(state.own_sums(sums, self.group))
        self.group.wait()  # all have read before the main process writes
        if self.group.is_main:
            self.run.clear()
        for line in differing:
            self.echo(f"the last bits may differ from an undisturbed run's: {line}")
        self.echo(f"resumed {self.place()}")

    def save(self) -> None:
        """Write all that the next step needs, so that another process can do it."""
        sums = self.group.gather(self.sums)
        if self.group.is_main:
            state.write(self.run, self.recipe, self.state, self.conditions, {**self.learner.state(), "sums": sums})
        self.saved = time.monotonic()

    def train_errors(self) -> list[float]:
        """Return the training error of each finished epoch, in per cent."""
        return [epoch.train_error for epoch in self.state.epochs]

    def place(self) -> str:
        """Return how far the training is, in words."""
        done, total = len(self.state.epochs), self.recipe.train.epochs
        if self.state.steps:
            return f"at step {self.state.steps} of {self.data.steps_per_epoch} in epoch {done + 1} of {total}"
        return f"after epoch {done} of {total}"

    def interrupted(self) -> Interrupted:
        """Return the error that says where it stopped and which command resumes it."""
        command = (*self.group.launcher, "train", "--resume", str(self.run.folder), *self.options.arguments())
        return Interrupted(f"stopped {self.place()}: go on with {shlex.join(command)}")

    def _learner(self, classifier: TorchClassifier) -> Learner:
        deterministic = self.options.deterministic
        return Learner(self.recipe, classifier, self.device, self.group, self.echo, deterministic=deterministic)
