"""Whether a measured test error reaches a published one."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from nin_onnx.paper import TEST_IMAGES, Published
from nin_onnx.statistics import binomial_test

__all__ = ["Verdict", "judge"]


@dataclass(frozen=True)
class Verdict:
    """What a test error says of a published one."""

    word: Literal["reached", "within noise", "fell short", "not judged"]
    detail: str | None = None
    """Why it was not judged."""
    p_value: float | None = None
    """Probability of as many errors or more at the published rate."""

    def __str__(self) -> str:
        return f"{self.word} ({self.detail})" if self.detail else self.word


def judge(errors: int, images: int, dataset: str, split: str, figure: Published) -> Verdict | None:
    """Reached, within noise, or fell short; on the whole official test set or not at all.

    Within noise: above the published figure, but an exact one-sided binomial test with that figure as the true rate does
    not reject it at 5 %. None where the figure is another data set's.
    """
    if dataset != figure.dataset:
        return None
    if split != "test":
        return Verdict("not judged", f"the {split} split")
    if images != TEST_IMAGES[dataset]:
        return Verdict("not judged", f"{images:,} of {TEST_IMAGES[dataset]:,}")
    p_value = binomial_test(errors, images, figure.error / 100)
    if 100 * errors <= Fraction(str(figure.error)) * images:  # exact: 47 errors of 10,000 are 0.47 %, and no more
        return Verdict("reached", p_value=p_value)
    return Verdict("within noise" if p_value >= 0.05 else "fell short", p_value=p_value)
