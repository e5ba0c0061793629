"""What an interrupted run resumes from: its tensors, its place, and the conditions that its bytes depend on."""

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from nin_onnx.errors import RecipeError, RunError
from nin_onnx.recipe import Recipe, from_dict
from nin_onnx.run import OPTIONAL, Epoch
from nin_onnx.train import checkpoint
from nin_onnx.train.process_group import ProcessGroup
from nin_onnx.train.writable_run import WritableRun

__all__ = ["Conditions", "TrainingState", "own_sums", "read", "unusable", "write"]


@dataclass(frozen=True)
class Conditions:
    """What decides the last bits of the weights, next to recipe and seed."""

    dataset: str
    """Fingerprint of the training images."""
    precision: str
    deterministic: bool
    device: str
    processes: int
    threads: int
    torch: str = torch.__version__
    python: str = field(default_factory=platform.python_version)

    MUST_AGREE = ("dataset", "precision", "deterministic")


@dataclass
class TrainingState:
    """How far a training is: its finished epochs, and the finished steps of the current one."""

    seed: int
    epochs: list[Epoch] = field(default_factory=list)
    steps: int = 0
    """Of the current epoch."""
    seconds: float = 0.0
    """That these steps took."""


def write(run: WritableRun, recipe: Recipe, state: TrainingState, conditions: Conditions, tensors: Mapping[str, Tensor]) -> None:
    """Write `run`'s state."""
    description = {"recipe": asdict(recipe), "conditions": asdict(conditions), "state": asdict(state)}
    checkpoint.write(run.state, tensors, description)


def read(run: WritableRun, recipe: Recipe, conditions: Conditions) -> tuple[TrainingState, dict[str, Tensor], list[str]]:
    """Return `run`'s state, its tensors, and a line for each condition that was different when it was written.

    A state of an older version can be resumed too: recipe keys that it lacks have their defaults, its conditions are unknown.
    Raise `RunError` for a state of another recipe, or if one of `Conditions.MUST_AGREE` differs.
    """
    tensors, description = checkpoint.read(run.state)
    try:
        now: dict[str, Any] = asdict(conditions)
        before = {**dict.fromkeys(now, "unknown"), **description["conditions"]}
        if from_dict(description["recipe"], run.state.name) != recipe:
            raise ValueError("it is of another recipe than the recipe.toml next to it")
        for name in Conditions.MUST_AGREE:
            if before[name] not in ("unknown", now[name]):
                raise ValueError(f"its {name} was {before[name]}, here it is {now[name]}")
        differing = [f"{name}: {before[name]} before, {now[name]} now" for name in now if before[name] != now[name]]
        kept: dict[str, Any] = description["state"]
        epochs = [Epoch(**{**dict.fromkeys(OPTIONAL), **epoch}) for epoch in kept["epochs"]]
        state = TrainingState(kept["seed"], epochs, kept["steps"], kept["seconds"])
    except (KeyError, TypeError, AttributeError, ValueError, RecipeError) as error:
        raise unusable(run, error) from error
    return state, tensors, differing


def own_sums(sums: Tensor, group: ProcessGroup) -> Tensor:
    """Return this process's row of `sums` [processes, 2] of loss and errors; an even share if their number was different."""
    if len(sums) == group.size:
        return sums[group.rank]
    loss, wrong = sums.sum(0)
    part = group.part(int(wrong))  # of whole errors, so that their sum is exact
    return torch.stack([loss / group.size, torch.full_like(wrong, part.stop - part.start)])


def unusable(run: WritableRun, reason: object) -> RunError:
    """Return the error for a state that cannot be resumed here."""
    return RunError(
        f"'{run.state}' cannot be resumed here ({' '.join(str(reason).split())}): resume where it began, or train afresh with "
        "another --out"
    )
