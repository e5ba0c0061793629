"""What `eval` found out: plain data that the table, the JSON and the exit status are made of."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from nin_onnx.eight_bits.findings import Saturation
from nin_onnx.json_schema import SCHEMA
from nin_onnx.machine import in_words
from nin_onnx.paper import Published
from nin_onnx.runtimes.criteria import Criteria, Unmet
from nin_onnx.runtimes.model import ModelFile
from nin_onnx.runtimes.rows import AgainstFp32, Row

__all__ = ["Report", "processors"]


@dataclass(frozen=True)
class Report:
    """Everything about one `eval`: no host name, and no path but the model's as it was given."""

    model: ModelFile
    dataset: Mapping[str, Any] | None
    golden: Mapping[str, Any]
    """Images, hash, the problem where they cannot be trusted, and the references where none lay beside the model."""
    published: Published | None
    rows: tuple[Row, ...]
    criteria: Criteria
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

    @property
    def unmet(self) -> tuple[Unmet, ...]:
        """What was asked for and is not so; empty if everything is."""
        return tuple(self.criteria.unmet(self.rows))

    @property
    def exit_status(self) -> int:
        """0: everything asked for passed; 1: something is unmet; 2: nothing could run.

        A runtime that is skipped counts only if it was asked for by name.
        """
        if all(row.outcome == "skipped" for row in self.rows):
            return 2
        return 1 if self.unmet else 0

    def __bool__(self) -> bool:
        """Return whether everything asked for passed."""
        return self.exit_status == 0

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        values = {item.name: _plain(getattr(self, item.name)) for item in fields(self)}
        return {"schema": SCHEMA, **values, "exit_status": self.exit_status}


def _plain(value: Any) -> Any:
    """Return dataclasses, alone or in a tuple, as dictionaries."""
    if isinstance(value, ModelFile):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def processors(report: Report) -> Iterator[str]:
    """Yield the processor and what it has, then the runtimes that had something else."""
    hardware = report.hardware
    yield f"{hardware['processor']}: {in_words(hardware['instructions'])}"
    for row in report.rows:
        own = row.facts.instructions if row.facts else None
        if own is not None and own != hardware["instructions"]:
            yield f"{row.runtime} had {in_words(own)}"
