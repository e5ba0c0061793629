"""Crops and flips: every result is a window of the padded image, found by trying all of them."""

from collections import Counter

import numpy as np
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nin_onnx.recipe import AugmentationSettings
from nin_onnx.train.augmentation import augment, draw

CPU = torch.device("cpu")


def random_images(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def augmented(images: torch.Tensor, recipe: AugmentationSettings, seed: int) -> torch.Tensor:
    return augment(images, recipe, draw(recipe, seed, slice(0, len(images)), CPU))


def places(image: NDArray[np.float32], result: NDArray[np.float32], padding: int, flip: bool) -> list[tuple[int, int, bool]]:
    """Every (row, column, flipped) at which `result` is a window of the zero-padded `image`; both [C, H, W]."""
    _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
    return [
        (row, column, flipped)
        for row in range(2 * padding + 1)
        for column in range(2 * padding + 1)
        for flipped in ((False, True) if flip else (False,))
        if np.array_equal(padded[:, row : row + height, column : column + width][..., :: -1 if flipped else 1], result)
    ]


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(3, 6), st.integers(3, 6)),
    st.integers(0, 2),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_every_result_is_one_window_of_its_padded_image(
    shape: tuple[int, int, int, int], padding: int, flip: bool, seed: int
) -> None:
    images = random_images(shape)
    results = augmented(images, AugmentationSettings(padding, flip), seed)
    assert results.shape == images.shape
    for image, result in zip(images.numpy(), results.numpy(), strict=True):
        assert len(places(image, result, padding, flip)) == 1


def test_all_windows_are_equally_likely_in_both_directions() -> None:
    images = random_images((3600, 1, 4, 5))
    results = augmented(images, AugmentationSettings(1, flip=True), 0)
    found = Counter(places(image, result, 1, True)[0] for image, result in zip(images.numpy(), results.numpy(), strict=True))
    assert len(found) == 18
    assert scipy.stats.chisquare(list(found.values())).pvalue > 0.001


def test_the_same_key_makes_the_same_choices_for_any_images() -> None:
    recipe = AugmentationSettings(2, flip=True)
    one, other = random_images((20, 1, 8, 8), seed=0), random_images((20, 1, 8, 8), seed=1)
    chosen = [
        [
            places(image, result, 2, True)
            for image, result in zip(images.numpy(), augmented(images, recipe, seed).numpy(), strict=True)
        ]
        for images, seed in ((one, 5), (other, 5), (one, 6))
    ]
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]


def test_without_augmentation_the_images_are_the_same_tensor() -> None:
    images = random_images((2, 1, 4, 4))
    assert augmented(images, AugmentationSettings(), 0) is images


def test_the_images_that_are_given_stay_as_they_are() -> None:
    images = random_images((4, 1, 6, 6))
    before = images.clone()
    augmented(images, AugmentationSettings(1, flip=True), 0).zero_()
    assert torch.equal(images, before)


def test_a_part_of_a_batch_gets_what_it_gets_in_the_whole() -> None:
    recipe, images = AugmentationSettings(2, flip=True), random_images((20, 2, 8, 8))
    whole = augmented(images, recipe, 1)
    for rows in (slice(0, 7), slice(7, 20)):
        assert torch.equal(augment(images[rows], recipe, draw(recipe, 1, rows, CPU)), whole[rows])
