"""Whether a data set fits a recipe, and how it gets onto the device."""

import numpy as np
import pytest
import torch

from nin_onnx.data import Dataset
from nin_onnx.errors import RecipeError
from nin_onnx.train import examples
from nin_onnx.train.recipe import Network, Optimizer, Recipe, Schedule, Train


def dataset(images: int = 10, side: int = 32, channels: int = 3, classes: int = 10) -> Dataset:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (images, side, side, channels), np.uint8)
    return Dataset("made", "train", pixels, random.integers(0, classes, images), tuple(map(str, range(classes))), official=True)


def recipe(architecture: str = "nin-cifar10", batch_size: int = 4, validation: int = 0) -> Recipe:
    train = Train(1, batch_size=batch_size, validation=validation)
    return Recipe("test", "made", Network(architecture), train, Optimizer(0.1), Schedule("stepped"))


def test_a_data_set_of_the_networks_shape_and_classes_fits() -> None:
    examples.check(recipe(batch_size=4, validation=6), dataset(10))


def test_images_of_another_size_than_the_networks_are_refused_with_both_sizes() -> None:
    with pytest.raises(RecipeError) as raised:
        examples.check(recipe("nin-mnist"), dataset(side=8, channels=1))
    assert str(raised.value) == (
        "'test': 'made' has images of 8×8×1, but 'nin-mnist' is made for images of 28×28×1: choose another of the two"
    )


@pytest.mark.parametrize(("architecture", "classes"), [("nin-cifar100", 10), ("nin-cifar10", 100)])
def test_another_number_of_classes_than_the_networks_is_refused(architecture: str, classes: int) -> None:
    with pytest.raises(RecipeError, match=rf"'made' has {classes} classes, but '{architecture}' is made for {110 - classes} "):
        examples.check(recipe(architecture), dataset(classes=classes))


@pytest.mark.parametrize(("validation", "left"), [(7, 3), (10, 0), (25, 0)])
def test_fewer_images_than_a_batch_are_refused_with_their_number(validation: int, left: int) -> None:
    with pytest.raises(
        RecipeError, match=rf"^'test': {left} images of 'made' are left to train on, fewer than a batch of 4: lower"
    ):
        examples.check(recipe(validation=validation), dataset(10))


def test_the_tensors_are_copies_of_the_pixels_and_labels() -> None:
    made = dataset()
    images, labels = examples.to_device(made, torch.device("cpu"))
    assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
    np.testing.assert_array_equal(images.numpy(), made.images)
    np.testing.assert_array_equal(labels.numpy(), made.labels)
    images.zero_()
    assert made.images.any()
