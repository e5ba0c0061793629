"""The statistics against SciPy's and against whole numbers."""

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from nin_onnx.data import DATASETS
from nin_onnx.paper import PUBLISHED, Published
from nin_onnx.statistics import binomial_test, mcnemar_test, wilson_interval

images_and_errors = st.integers(1, 30_000).flatmap(lambda images: st.tuples(st.integers(0, images), st.just(images)))


@given(images_and_errors, st.sampled_from([0.8, 0.95, 0.99]))
def test_the_wilson_interval_is_scipys(counts: tuple[int, int], confidence: float) -> None:
    errors, images = counts
    expected = binomtest(errors, images).proportion_ci(confidence, method="wilson")
    assert wilson_interval(errors, images, confidence) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-12)


small_counts = st.integers(1, 300).flatmap(lambda images: st.tuples(st.integers(0, images), st.just(images)))


@given(small_counts, st.integers(0, 1024))
def test_the_binomial_test_is_the_exact_sum_in_whole_numbers(counts: tuple[int, int], numerator: int) -> None:
    errors, images = counts  # SciPy is off by 1.5e-8 for 261 of 275 at 1/16, so it is no truth for small probabilities
    ways = sum(comb(images, k) * numerator**k * (1024 - numerator) ** (images - k) for k in range(errors, images + 1))
    assert binomial_test(errors, images, numerator / 1024) == pytest.approx(
        float(Fraction(ways, 1024**images)), rel=1e-9, abs=1e-300
    )


@pytest.mark.parametrize("row", [row for row in PUBLISHED if row.experiment], ids=lambda row: row.experiment)
@pytest.mark.parametrize("excess", [-0.2, 0.0, 0.05, 0.1, 0.5])
def test_the_binomial_test_is_scipys_around_every_published_figure(row: Published, excess: float) -> None:
    images = DATASETS[row.dataset].test_images
    errors = round(images * row.error / 100 * (1 + excess))
    expected = binomtest(errors, images, row.error / 100, alternative="greater").pvalue
    assert binomial_test(errors, images, row.error / 100) == pytest.approx(expected, rel=1e-8)


def test_an_interval_of_no_errors_begins_at_zero_and_one_of_errors_only_ends_at_one() -> None:
    assert wilson_interval(0, 10_000)[0] == 0.0
    assert wilson_interval(10_000, 10_000)[1] == 1.0


@pytest.mark.parametrize(("errors", "images"), [(-1, 10), (11, 10), (0, 0)])
def test_impossible_counts_are_refused(errors: int, images: int) -> None:
    with pytest.raises(ValueError, match=f"{errors} errors of {images} images"):
        wilson_interval(errors, images)
    with pytest.raises(ValueError, match=f"{errors} errors of {images} images"):
        binomial_test(errors, images, 0.1)


@given(st.integers(0, 200), st.integers(0, 200))
def test_mcnemars_test_is_scipys_binomial_test_of_the_discordant_images(only_first: int, only_second: int) -> None:
    expected = binomtest(only_first, only_first + only_second, 0.5).pvalue if only_first + only_second else 1.0
    assert mcnemar_test(only_first, only_second) == pytest.approx(expected, rel=1e-9)
    assert mcnemar_test(only_second, only_first) == mcnemar_test(only_first, only_second)
