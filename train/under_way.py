"""A training under way: how it begins, what it keeps on the disk, and how it goes on from there."""

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from nin_onnx.errors import Interrupted
from nin_onnx.recipe import Recipe
from nin_onnx.recipe import ineffective as ineffective
from nin_onnx.train import checkpoint, device, state
from nin_onnx.train.examples import TrainingData
from nin_onnx.train.learner import Learner
from nin_onnx.train.network import TorchClassifier
from nin_onnx.train.process_group import ProcessGroup
from nin_onnx.train.state import Conditions, State
from nin_onnx.train.writable_run import WritableRun

__all__ = ["Echo", "RunOptions", "UnderWay"]

Echo = Callable[[str], None]


@dataclass(frozen=True)
class RunOptions:
    """What a run is trained with beside its recipe and seed. It keeps none of it, so a resumed run needs it again."""

    data_dir: Path | None = None
    on: str = "auto"
    """Device: `auto`, `cpu` or `cuda`."""
    deterministic: bool = False

    def typed(self) -> list[str]:
        """Return them as options of `nin-onnx train`."""
        typed = ["--device", self.on] if self.on != "auto" else []
        if self.data_dir is not None:
            typed += ["--data-dir", str(self.data_dir)]
        return [*typed, "--deterministic"] if self.deterministic else typed


@dataclass
class UnderWay:
    """All that the training loop works on; `begin` or `go_on` comes first."""

    recipe: Recipe
    run: WritableRun
    options: RunOptions
    data: TrainingData
    team: ProcessGroup
    device: torch.device
    echo: Echo
    state: State = field(init=False)
    learner: Learner = field(init=False)
    sums: Tensor = field(init=False)
    """Loss and errors of this process in the epoch that is not over: float32 [2]."""
    saved: float = field(default_factory=time.monotonic)
    """When the last state was written."""
    new: bool = False
    """Whether this process has begun it."""

    def __post_init__(self) -> None:
        self.echo = self.echo if self.team.is_main else lambda line: None
        self.sums = torch.zeros(2, device=self.device)
        self.conditions = Conditions(
            dataset=self.data.fingerprint,
            precision=str(device.precision(self.recipe.train.precision, self.device)).removeprefix("torch."),
            deterministic=self.options.deterministic,
            device=device.name(self.device),
            processes=self.team.size,
            threads=torch.get_num_threads(),
        )

    def begin(self, seed: int) -> None:
        """Fit the preprocessing, draw the first weights, and make the run's folder, from which the run can go on."""
        for line in ineffective(self.recipe):
            self.echo(line)
        classifier = checkpoint.build_classifier(self.recipe, len(self.data.labels))
        if self.team.is_main:
            classifier.preprocessing.to(self.device).fit(self.data.examples.images)
            self.run.create(self.recipe, lambda path: checkpoint.write(path, classifier.preprocessing.state_dict(), {}))
        self.learner = self._learner(classifier)
        self.team.share(self.learner.preprocessing.buffers())
        self.learner.begin(seed)
        self.state, self.new = State(seed), True
        self.save()

    def go_on(self) -> None:
        """Put back what `begin` and `save` wrote."""
        if self.team.is_main:
            self.run.check_resumable()  # once more: until here, another process may have trained it
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
        if self.team.is_main:
            self.run.clear()
        for line in differing:
            self.echo(f"the last bits may differ from an undisturbed run's: {line}")
        self.echo(f"resumed {self.place()}")

    def save(self) -> None:
        """Write all that the next step needs, so that it can be done in another process."""
        sums = self.team.gather(self.sums)
        if self.team.is_main:
            state.write(self.run, self.recipe, self.state, self.conditions, {**self.learner.state(), "sums": sums})
        self.saved = time.monotonic()

    def train_errors(self) -> list[float]:
        """Return the training error of each epoch that is over, in per cent."""
        return [epoch.train_error for epoch in self.state.epochs]

    def place(self) -> str:
        """Return how far it is, in words."""
        done, total = len(self.state.epochs), self.recipe.train.epochs
        if self.state.steps:
            return f"at step {self.state.steps} of {self.data.steps_per_epoch} in epoch {done + 1} of {total}"
        return f"after epoch {done} of {total}"

    def interrupted(self) -> Interrupted:
        """Return the error that says where it stopped and which command goes on."""
        command = (*self.team.launcher, "train", "--resume", str(self.run.folder), *self.options.typed())
        return Interrupted(f"stopped {self.place()}: go on with {shlex.join(command)}")

    def _learner(self, classifier: TorchClassifier) -> Learner:
        deterministic = self.options.deterministic
        return Learner(self.recipe, classifier, self.device, self.team, self.echo, deterministic=deterministic)
