"""The verdict on a test error, against SciPy and the paper's figures."""

import pytest
from scipy.stats import binomtest

from nin_onnx.paper import Published, published
from nin_onnx.verdict import judge, measure

MNIST = {"name": "mnist", "split": "test", "provenance": "official"}


@pytest.fixture(scope="session")
def figure() -> Published:
    found = published("mnist")
    assert found
    assert found.error == 0.47
    return found


@pytest.mark.parametrize("errors", [0, 40, 46, 47])
def test_an_error_at_or_below_the_published_one_has_reached_it(figure: Published, errors: int) -> None:
    verdict = judge(errors, 10_000, MNIST, figure)
    assert verdict
    assert verdict.word == "reached"


@pytest.mark.parametrize("errors", range(48, 75))
def test_above_it_a_binomial_test_decides_between_noise_and_a_shortfall(figure: Published, errors: int) -> None:
    verdict = judge(errors, 10_000, MNIST, figure)
    chance = binomtest(errors, 10_000, 0.0047, alternative="greater").pvalue
    assert verdict
    assert verdict.p_value == pytest.approx(chance, rel=1e-8)
    assert verdict.word == ("within noise" if chance >= 0.05 else "fell short")


def test_both_sides_of_the_5_per_cent_are_among_these_numbers() -> None:
    chances = [binomtest(errors, 10_000, 0.0047, alternative="greater").pvalue for errors in range(48, 75)]
    assert chances[0] > 0.05 > chances[-1]


@pytest.mark.parametrize("images", [1, 1_000, 9_999, 10_001])
def test_only_the_whole_official_test_set_is_judged(figure: Published, images: int) -> None:
    assert str(judge(0, images, MNIST, figure)) == f"not judged ({images:,} of 10,000)"


def test_as_many_training_images_are_not_judged(figure: Published) -> None:
    assert str(judge(0, 10_000, MNIST | {"split": "train"}, figure)) == "not judged (the train split)"


def test_another_data_sets_figure_gives_no_verdict(figure: Published) -> None:
    assert judge(0, 10_000, MNIST | {"name": "digits"}, figure) is None


def test_a_figure_is_compared_exactly_not_as_a_binary_fraction() -> None:
    verdict = judge(29, 10_000, MNIST, Published("Table 0", "mnist", "any", 0.29))  # 100 * 0.0029 < 0.29 in binary
    assert verdict
    assert verdict.word == "reached"


def test_a_copy_that_is_not_the_official_one_is_told_with_the_verdict(figure: Published) -> None:
    assert str(judge(40, 10_000, MNIST | {"provenance": "unofficial copy"}, figure)) == "reached (unofficial copy)"


def test_rates_are_in_per_cent_with_scipys_interval() -> None:
    accuracy = measure(47, 10_000, MNIST, None)
    interval = binomtest(47, 10_000).proportion_ci(0.95, method="wilson")
    assert (accuracy.errors, accuracy.images, accuracy.error) == (47, 10_000, 0.47)
    assert (accuracy.low, accuracy.high) == pytest.approx((100 * interval.low, 100 * interval.high))
    assert accuracy.verdict is None
