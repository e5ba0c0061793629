"""What an evaluation has to show so that its exit status is 0: to add a criterion, add its field and its check."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from nin_onnx.runtimes.rows import Row
from nin_onnx.verdict import Accuracy

__all__ = ["Criteria", "Unmet"]


@dataclass(frozen=True)
class Unmet:
    """Something that was asked for and is not so."""

    runtime: str | None
    """None if it is of no runtime in particular."""
    check: str
    """`outcome`, or what was asked for beside that."""
    message: str

    def __str__(self) -> str:
        return f"{self.runtime}: {self.message}" if self.runtime else self.message


@dataclass(frozen=True)
class Criteria:
    """What is asked for beside that every runtime agrees; errors in percent."""

    required: tuple[str, ...] = ()
    """Runtimes that run though they are not named, and may not be skipped."""
    require_reproduced: bool = False
    """The paper's figure is reached, or missed by noise alone."""
    max_error: float | None = None

    def unmet(self, rows: Sequence[Row]) -> Iterator[Unmet]:
        """Yield what `rows` do not meet, outcomes first."""
        yield from dict.fromkeys(unmet for check in CHECKS for unmet in check(self, rows))


def _outcomes(criteria: Criteria, rows: Sequence[Row]) -> Iterator[Unmet]:
    yield from (Unmet(row.runtime, "outcome", row.outcome) for row in rows if row.outcome in ("fail", "error"))
    skipped = (row for row in rows if row.named and row.outcome == "skipped")
    yield from (Unmet(row.runtime, "outcome", "skipped, though asked for") for row in skipped)


def _reproduced(criteria: Criteria, rows: Sequence[Row]) -> Iterator[Unmet]:
    def problem(accuracy: Accuracy) -> str | None:
        if accuracy.verdict and accuracy.verdict.word in ("reached", "within noise"):
            return None
        return f"not reproduced: {accuracy.verdict or 'the paper has no figure for this model'}"

    return _on_accuracy(rows, problem) if criteria.require_reproduced else iter(())


def _accurate(criteria: Criteria, rows: Sequence[Row]) -> Iterator[Unmet]:
    most = criteria.max_error

    def problem(accuracy: Accuracy) -> str | None:
        above = most is not None and accuracy.error > most
        return f"error {accuracy.error:.2f} %, at most {most:g} % was asked for" if above else None

    return _on_accuracy(rows, problem) if most is not None else iter(())


def _on_accuracy(rows: Sequence[Row], problem: Callable[[Accuracy], str | None]) -> Iterator[Unmet]:
    """Yield the problems of the runtimes that did the most images of the data set."""
    measured = [(row.runtime, row.accuracy) for row in rows if row.accuracy]
    if not measured:
        yield Unmet(None, "accuracy", "no error was measured: give --dataset")
    most = max((accuracy.images for _, accuracy in measured), default=0)
    for runtime, accuracy in measured:
        if accuracy.images == most and (found := problem(accuracy)):
            yield Unmet(runtime, "accuracy", found)


CHECKS: tuple[Callable[[Criteria, Sequence[Row]], Iterator[Unmet]], ...] = (_outcomes, _reproduced, _accurate)
"""Each yields what `rows` do not meet."""
