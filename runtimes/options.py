"""What a user decides about an evaluation, beside the model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nin_onnx.data.dataset import Dataset
from nin_onnx.machine import hardware
from nin_onnx.runtimes.criteria import Criteria

__all__ = ["EvalOptions"]


def _silent(line: str) -> None:
    """Report nothing."""


@dataclass(frozen=True, eq=False)
class EvalOptions:
    """Options of `nin_onnx.runtimes.evaluate`, as those of `nin-onnx eval`."""

    runtimes: Sequence[str] | None = None
    """Only these; None for all that run by default. One that is named may not be skipped."""
    dataset: Dataset | None = None
    """Images to measure the error on."""
    limit: int | None = None
    """Images of the data set that each runtime does, from the first; None for as many as it does by default."""
    batch: int = 128
    """Images that are run at once."""
    threads: int | None = None
    """Of each runtime; None for one for each core."""
    time_limit: float = 600.0
    """Seconds for one runtime, its start included."""
    interpreters: Mapping[str, Path] = field(default_factory=dict)
    """For a runtime another Python, which has it and what nin-onnx itself needs."""
    criteria: Criteria = field(default_factory=Criteria)
    tolerance: float | None = None
    """Largest difference allowed; None for that of the precision that ran."""
    repro: Path | None = None
    """Folder that gets, for each runtime that failed, what it takes to see that again."""
    bench: bool = False
    """Whether to time all that ran, in turns, when the rest is done."""
    progress: Callable[[str], object] = _silent
    """Called with the name of each runtime before it runs."""

    @property
    def cores(self) -> int:
        """The number of threads, all cores if none was given."""
        return self.threads or int(hardware()["cores"])
