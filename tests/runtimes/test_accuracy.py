"""The verdict on a test error, against SciPy and the paper's figures."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from scipy.stats import binomtest

from nin_onnx.data.dataset import Dataset
from nin_onnx.paper import Published, published
from nin_onnx.runtimes.accuracy import judge, measure

Data = Callable[..., Dataset]


@pytest.fixture(scope="session")
def figure() -> Published:
    found = published("mnist")
    assert found and found.error == 0.47
    return found


@pytest.mark.parametrize("errors", [0, 40, 46, 47])
def test_an_error_at_or_below_the_published_one_has_reached_it(tiny_data: Data, figure: Published, errors: int) -> None:
    verdict = judge(errors, 10_000, tiny_data(10_000), figure)
    assert verdict and verdict.word == "reached"


@pytest.mark.parametrize("errors", range(48, 75))
def test_above_it_a_binomial_test_decides_between_noise_and_a_shortfall(tiny_data: Data, figure: Published, errors: int) -> None:
    verdict = judge(errors, 10_000, tiny_data(10), figure)
    chance = binomtest(errors, 10_000, 0.0047, alternative="greater").pvalue
    assert verdict and verdict.p_value == pytest.approx(chance, rel=1e-8)
    assert verdict.word == ("within noise" if chance >= 0.05 else "fell short")


def test_both_sides_of_the_5_per_cent_are_among_these_numbers() -> None:
    chances = [binomtest(errors, 10_000, 0.0047, alternative="greater").pvalue for errors in range(48, 75)]
    assert chances[0] > 0.05 > chances[-1]


@pytest.mark.parametrize("images", [1, 1_000, 9_999, 10_001])
def test_only_the_whole_official_test_set_is_judged(tiny_data: Data, figure: Published, images: int) -> None:
    assert str(judge(0, images, tiny_data(10), figure)) == f"not judged ({images:,} of 10,000)"


def test_as_many_training_images_are_not_judged(tiny_data: Data, figure: Published) -> None:
    training = replace(tiny_data(10), split="train")
    assert str(judge(0, 10_000, training, figure)) == "not judged (the train split)"


def test_another_data_sets_figure_gives_no_verdict(tiny_data: Data, figure: Published) -> None:
    assert judge(0, 10_000, tiny_data(10, name="digits"), figure) is None


def test_rates_are_in_per_cent_with_scipys_interval(tiny_data: Data) -> None:
    accuracy = measure(47, 10_000, tiny_data(10), None)
    interval = binomtest(47, 10_000).proportion_ci(0.95, method="wilson")
    assert (accuracy.errors, accuracy.images, accuracy.error) == (47, 10_000, 0.47)
    assert (accuracy.low, accuracy.high) == pytest.approx((100 * interval.low, 100 * interval.high))
    assert accuracy.verdict is None
