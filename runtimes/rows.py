"""A row of the report: what came of one runtime."""

from dataclasses import dataclass, replace
from typing import Literal

from nin_onnx.runtimes.backends.base import RuntimeInfo
from nin_onnx.runtimes.parity import Parity
from nin_onnx.statistics import Paired
from nin_onnx.verdict import Accuracy

__all__ = ["MAX_BATCH_SECONDS", "AgainstFp32", "LabelChanges", "Outcome", "Row", "Timing"]

MAX_BATCH_SECONDS = 1.0
"""Seconds that a batch may take where runtimes are timed; larger ones are left out."""

Outcome = Literal["pass", "fail", "skipped", "error"]


@dataclass(frozen=True)
class LabelChanges:
    """On how many images a runtime decides otherwise than another, of those that both did."""

    changes: int
    images: int
    against: str
    mcnemar: float | None = None
    """Where the two ran in different precisions: how likely errors that differ so are by chance (exact McNemar test)."""
    margin: float | None = None
    """The largest by which the other had decided an image that changed, over the largest of its logits."""


@dataclass(frozen=True)
class Timing:
    """How long batches of one size take, over the rounds in which the runtimes took turns."""

    batch: int
    rounds: tuple[float, ...]
    """The median of each round, in milliseconds a batch."""
    milliseconds: float
    """Their median."""
    images_per_second: float
    """The same as throughput."""


@dataclass(frozen=True)
class Row:
    """One runtime's part of the report."""

    runtime: str
    named: bool
    """Whether the user asked for it by name, or required it."""
    outcome: Outcome
    reason: str | None = None
    install: str | None = None
    """The command that would help a skipped one."""
    facts: RuntimeInfo | None = None
    parity: Parity | None = None
    accuracy: Accuracy | None = None
    label_changes: LabelChanges | None = None
    images_per_second: float | None = None
    first_difference: str | None = None
    """Where it failed: the first node whose output differs, where that was found."""
    memory: int | None = None
    """Bytes at the peak, over all its processes; None where the system does not tell."""
    speed: tuple[Timing, ...] = ()
    """If it was asked for, from the smallest batch on; without those that would take too long."""

    def failed(self, problem: str) -> "Row":
        """Return the row as a failed one, for `problem` too."""
        return replace(self, outcome="fail", reason="; ".join(filter(None, (self.reason, problem))))


@dataclass(frozen=True)
class AgainstFp32:
    """How a variant's decisions compare with those of the graph that it was made from."""

    sha256: str
    runtime: str | None = None
    """Which runtime decided, on both."""
    comparison: Paired | None = None
    problem: str | None = None
    """Why they could not be compared."""
