"""How sure a counted error rate is: its interval, and its tests against a published figure and another classifier."""

from dataclasses import dataclass
from math import exp, fsum, lgamma, log, log1p, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Paired", "binomial_test", "mcnemar_test", "paired", "wilson_interval"]


@dataclass(frozen=True)
class Paired:
    """Two classifiers on the same images."""

    images: int
    changes: int
    """Images that the second puts into another class than the first, rightly or wrongly."""
    only_first: int
    """Images that the first alone gets right: McNemar's b."""
    only_second: int
    """Images that the second alone gets right: McNemar's c."""
    p_value: float
    """How likely chance alone makes the two differ as much."""

    @property
    def net(self) -> int:
        """Errors that the second makes more than the first."""
        return self.only_first - self.only_second

    def __str__(self) -> str:
        return (
            f"{self.changes} of {self.images:,} labels changed, b = {self.only_first}, c = {self.only_second}, "
            f"p = {self.p_value:.2g}"
        )


def paired(first: NDArray[Any], second: NDArray[Any], truth: NDArray[Any]) -> Paired:
    """Compare the labels that two classifiers gave the same images, whose own are `truth`."""
    right, other = first == truth, second == truth
    b, c = int(np.count_nonzero(right & ~other)), int(np.count_nonzero(other & ~right))
    return Paired(len(truth), int(np.count_nonzero(first != second)), b, c, mcnemar_test(b, c))


def wilson_interval(errors: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of the rate behind `errors` of `images`, as fractions (Wilson 1927, JASA 22:209)."""
    _check(errors, images)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = errors / images
    center = rate + z**2 / (2 * images)
    half = z * sqrt(rate * (1 - rate) / images + z**2 / (4 * images**2))
    scale = 1 + z**2 / images
    low = 0.0 if errors == 0 else (center - half) / scale  # exactly 0 and 1 at the ends, where rounding would miss them
    high = 1.0 if errors == images else (center + half) / scale
    return low, high


def binomial_test(errors: int, images: int, rate: float) -> float:
    """The probability of `errors` or more among `images` if the true rate is `rate`: exact, one-sided.

    Small values speak for a true rate above `rate`. The terms are summed from their logarithms: good to 1e-9 for the sizes
    of test sets.
    """
    _check(errors, images)
    if errors == 0 or rate >= 1:
        return 1.0
    if rate <= 0:
        return 0.0
    chance, against = log(rate), log1p(-rate)
    ways = lgamma(images + 1)
    logarithms = (
        ways - lgamma(k + 1) - lgamma(images - k + 1) + k * chance + (images - k) * against for k in range(errors, images + 1)
    )
    return min(1.0, fsum(map(exp, logarithms)))


def mcnemar_test(only_first: int, only_second: int) -> float:
    """The probability that two classifiers of the same images differ as much or more by chance.

    McNemar's test, exact and two-sided (McNemar 1947, Psychometrika 12:153). `only_first`: images that the first alone gets
    right, `only_second`: that the second alone does. Images that both get right or wrong say nothing.
    """
    count = only_first + only_second
    if count == 0:
        return 1.0
    return min(1.0, 2 * binomial_test(max(only_first, only_second), count, 0.5))


def _check(errors: int, images: int) -> None:
    if not 0 <= errors <= images or images < 1:
        raise ValueError(f"{errors} errors of {images} images: expected 0 <= errors <= images, and at least one image")
