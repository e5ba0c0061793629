"""A measured test error: its interval, and whether it reaches a published one."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from nin_onnx.data import DATASETS
from nin_onnx.paper import Published
from nin_onnx.statistics import binomial_test, wilson_interval

__all__ = ["Accuracy", "Verdict", "judge", "measure"]


@dataclass(frozen=True)
class Verdict:
    """What a test error says of a published one."""

    word: Literal["reached", "within noise", "fell short", "not judged"]
    detail: str | None = None
    """Why it was not judged, or what weakens the word."""
    p_value: float | None = None
    """Probability of as many errors or more at the published rate."""

    def __str__(self) -> str:
        return f"{self.word} ({self.detail})" if self.detail else self.word


@dataclass(frozen=True)
class Accuracy:
    """Errors counted; rates in per cent, with the 95 % Wilson interval."""

    errors: int
    images: int
    error: float
    low: float
    high: float
    verdict: Verdict | None
    """None where the paper has no figure for the experiment."""


def measure(errors: int, images: int, dataset: Mapping[str, Any], figure: Published | None) -> Accuracy:
    """The rate behind `errors` of `images` of `dataset`, as `Dataset.describe` describes it, and the verdict on it."""
    low, high = wilson_interval(errors, images)
    verdict = judge(errors, images, dataset, figure) if figure else None
    return Accuracy(errors, images, 100 * errors / images, 100 * low, 100 * high, verdict)


def judge(errors: int | Fraction, images: int, dataset: Mapping[str, Any], figure: Published) -> Verdict | None:
    """Reached, within noise, or fell short; on the whole official test set or not at all.

    Within noise: above the published figure, but an exact one-sided binomial test with that figure as the true rate does
    not reject it at 5 %. The mean of several runs' errors, a fraction, is judged as if one run had made so many. A copy
    that is not the official one is judged, and the verdict says so. None where the figure is another data set's.
    """
    if dataset["name"] != figure.dataset:
        return None
    if dataset["split"] != "test":
        return Verdict("not judged", f"the {dataset['split']} split")
    whole = DATASETS[figure.dataset].test_images
    if images != whole:
        return Verdict("not judged", f"{images:,} of {whole:,}")
    copy = None if dataset["provenance"] == "official" else dataset["provenance"]
    p_value = binomial_test(math.ceil(errors), images, figure.error / 100)
    if 100 * errors <= Fraction(str(figure.error)) * images:  # exact: 47 errors of 10,000 are 0.47 %, and no more
        return Verdict("reached", copy, p_value)
    return Verdict("within noise" if p_value >= 0.05 else "fell short", copy, p_value)
