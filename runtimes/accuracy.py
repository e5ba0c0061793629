"""How often a runtime is wrong on a data set, and whether that reaches the paper's figure."""

from dataclasses import dataclass

from nin_onnx.data.dataset import Dataset
from nin_onnx.paper import Published
from nin_onnx.statistics import wilson_interval
from nin_onnx.verdict import Verdict, judge

__all__ = ["Accuracy", "LabelChanges", "measure"]


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


@dataclass(frozen=True)
class LabelChanges:
    """On how many images a runtime decides otherwise than another, of those that both did."""

    changes: int
    images: int
    against: str


def measure(errors: int, images: int, dataset: Dataset, figure: Published | None) -> Accuracy:
    """The rate behind `errors` of `images` of `dataset`, and the verdict on it."""
    low, high = wilson_interval(errors, images)
    verdict = judge(errors, images, dataset.name, dataset.split, figure) if figure else None
    return Accuracy(errors, images, 100 * errors / images, 100 * low, 100 * high, verdict)
