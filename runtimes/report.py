"""What `eval` found out: plain data that the table, the JSON and the exit status are made of."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nin_onnx.eight_bits.findings import Saturation
from nin_onnx.machine import in_words
from nin_onnx.paper import Published
from nin_onnx.runtimes.backends.base import RuntimeInfo
from nin_onnx.runtimes.model import ModelFile
from nin_onnx.runtimes.parity import Parity
from nin_onnx.statistics import Paired
from nin_onnx.verdict import Accuracy

__all__ = ["LONGEST", "SCHEMA", "AgainstFp32", "LabelChanges", "Outcome", "Report", "Row", "Timing", "processors"]

SCHEMA = 2
"""Version of what `Report.to_dict` gives: raised whenever a reader of the JSON has to change."""

LONGEST = 1.0
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
    """Where it was asked for, from the smallest batch on; without those that would take too long."""


@dataclass(frozen=True)
class AgainstFp32:
    """How a variant's decisions compare with those of the graph that it was made from."""

    sha256: str
    runtime: str | None = None
    """Which runtime decided, on both."""
    comparison: Paired | None = None
    problem: str | None = None
    """Why they could not be compared."""


@dataclass(frozen=True)
class Report:
    """Everything about one `eval`: no host name, and no path but the model's as it was given."""

    model: ModelFile
    dataset: Mapping[str, Any] | None
    golden: Mapping[str, Any]
    """Images, hash, the problem where they cannot be trusted, and the references where none lay beside the model."""
    published: Published | None
    rows: tuple[Row, ...]
    settings: Mapping[str, Any]
    hardware: Mapping[str, Any]
    versions: Mapping[str, str]
    saturation: Saturation | None = None
    """Of a graph that multiplies 8-bit numbers."""
    source: AgainstFp32 | None = None
    """Of a variant in another precision, where there is a data set."""

    @property
    def headline(self) -> Row | None:
        """The row that stands for the model's accuracy: the first with the most images, of those that passed if any did."""
        rows = [row for row in self.rows if row.accuracy]
        return max(rows, key=lambda row: (row.outcome == "pass", row.accuracy.images if row.accuracy else 0), default=None)

    def unmet(self, *, require_reproduced: bool = False, max_error: float | None = None) -> tuple[str, ...]:
        """What was asked for and is not so, a line each; empty where everything is.

        Accuracy is asked of the runtimes that did the most images, `max_error` in per cent.
        """
        lines = [f"{row.runtime}: {row.outcome}" for row in self.rows if row.outcome in ("fail", "error")]
        lines += [f"{row.runtime}: skipped, though asked for" for row in self.rows if row.named and row.outcome == "skipped"]
        most = max((row.accuracy.images for row in self.rows if row.accuracy), default=0)
        measured = [(row.runtime, row.accuracy) for row in self.rows if row.accuracy and row.accuracy.images == most]
        if not measured and (require_reproduced or max_error is not None):
            lines.append("no error was measured: give --dataset")
        for runtime, accuracy in measured:
            if require_reproduced and (accuracy.verdict is None or accuracy.verdict.word not in ("reached", "within noise")):
                lines.append(f"{runtime}: not reproduced: {accuracy.verdict or 'the paper has no figure for this model'}")
            if max_error is not None and accuracy.error > max_error:
                lines.append(f"{runtime}: error {accuracy.error:.2f} %, at most {max_error:g} % was asked for")
        return tuple(lines)

    def exit_status(self, *, require_reproduced: bool = False, max_error: float | None = None) -> int:
        """0: everything asked for passed; 1: something is unmet; 2: nothing could run.

        A runtime that is skipped counts only where it was asked for by name.
        """
        if all(row.outcome == "skipped" for row in self.rows):
            return 2
        return 1 if self.unmet(require_reproduced=require_reproduced, max_error=max_error) else 0

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        values = asdict(self)
        values["model"]["path"] = str(self.model.path)
        return {"schema": SCHEMA, **values}


def processors(report: Report) -> Iterator[str]:
    """Yield the processor and what it has, then the runtimes that had something else."""
    hardware = report.hardware
    yield f"{hardware['processor']}: {in_words(hardware['instructions'])}"
    for row in report.rows:
        own = row.facts.instructions if row.facts else None
        if own is not None and own != hardware["instructions"]:
            yield f"{row.runtime} had {in_words(own)}"
