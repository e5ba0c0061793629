"""A runtime's test error, against SciPy."""

from collections.abc import Callable

import pytest
from scipy.stats import binomtest

from nin_onnx.data.dataset import Dataset
from nin_onnx.paper import published
from nin_onnx.runtimes.accuracy import measure

Data = Callable[..., Dataset]


def test_rates_are_in_per_cent_with_scipys_interval(tiny_data: Data) -> None:
    accuracy = measure(47, 10_000, tiny_data(10), None)
    interval = binomtest(47, 10_000).proportion_ci(0.95, method="wilson")
    assert (accuracy.errors, accuracy.images, accuracy.error) == (47, 10_000, 0.47)
    assert (accuracy.low, accuracy.high) == pytest.approx((100 * interval.low, 100 * interval.high))
    assert accuracy.verdict is None


def test_the_verdict_is_that_on_the_data_sets_own_name_and_split(tiny_data: Data) -> None:
    accuracy = measure(60, 10_000, tiny_data(10), published("mnist"))
    assert accuracy.verdict
    assert accuracy.verdict.word == "fell short"
    assert measure(60, 10_000, tiny_data(10, name="digits"), published("mnist")).verdict is None
