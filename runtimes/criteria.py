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
        """Yield what `rows` do not meet: outcomes first, then accuracy, of the runtimes that did the most images."""
        yield from (Unmet(row.runtime, "outcome", row.outcome) for row in rows if row.outcome in ("fail", "error"))
        skipped = (row for row in rows if row.named and row.outcome == "skipped")
        yield from (Unmet(row.runtime, "outcome", "skipped, though asked for") for row in skipped)
        measured = [(row.runtime, row.accuracy) for row in rows if row.accuracy]
        if not measured and self != Criteria(self.required):
            yield Unmet(None, "accuracy", "no error was measured: give --dataset")
        most = max((accuracy.images for _, accuracy in measured), default=0)
        for runtime, accuracy in measured:
            problems = (check(self, accuracy) for check in CHECKS if accuracy.images == most)
            yield from (Unmet(runtime, "accuracy", problem) for problem in problems if problem)


def _reproduced(criteria: Criteria, accuracy: Accuracy) -> str | None:
    if not criteria.require_reproduced or (accuracy.verdict and accuracy.verdict.word in ("reached", "within noise")):
        return None
    return f"not reproduced: {accuracy.verdict or 'the paper has no figure for this model'}"


def _accurate(criteria: Criteria, accuracy: Accuracy) -> str | None:
    if criteria.max_error is None or accuracy.error <= criteria.max_error:
        return None
    return f"error {accuracy.error:.2f} %, at most {criteria.max_error:g} % was asked for"


CHECKS: tuple[Callable[[Criteria, Accuracy], str | None], ...] = (_reproduced, _accurate)
"""Each returns what is wrong with the error that a runtime makes on the data set, or None."""
