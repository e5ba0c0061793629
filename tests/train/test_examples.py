"""Whether a data set fits a recipe, and how it gets onto the device."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nin_onnx.data import Dataset
from nin_onnx.errors import RecipeError
from nin_onnx.recipe import FolderSettings, NetworkSettings, OptimizerSettings, Recipe, ScheduleSettings, TrainSettings
from nin_onnx.train import examples, trainer
from nin_onnx.train.checkpoint import load_classifier


def dataset(images: int = 10, side: int = 32, channels: int = 3, classes: int = 10) -> Dataset:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (images, side, side, channels), np.uint8)
    return Dataset("made", "train", pixels, random.integers(0, classes, images), tuple(map(str, range(classes))), official=True)


def recipe(architecture: str = "nin-cifar10", batch_size: int = 4, validation: int = 0) -> Recipe:
    train = TrainSettings(1, batch_size=batch_size, validation=validation)
    return Recipe("test", "made", NetworkSettings(architecture), train, OptimizerSettings(0.1), ScheduleSettings("stepped"))


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


def test_the_last_batch_has_an_image_for_every_process() -> None:
    examples.check(recipe(batch_size=4), dataset(10), processes=2)
    with pytest.raises(
        RecipeError, match=r"the last batch of an epoch has 2 images, fewer than 3 processes: change train\.batch_"
    ):
        examples.check(recipe(batch_size=4), dataset(10), processes=3)


def test_images_that_a_data_set_holds_out_are_not_trained_on() -> None:
    made = replace(dataset(10), held_out=7)
    with pytest.raises(RecipeError, match=r"^'test': 3 images of 'made' are left to train on"):
        examples.check(recipe(batch_size=4), made)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of three classes, each of one color, in sizes and modes of their own."""
    for name, color in (("blue", (0, 0, 255)), ("green", (0, 255, 0)), ("red", (255, 0, 0))):
        (tmp_path / name).mkdir()
        for number in range(10):
            image = Image.new("RGB", (20 + number, 31 - number), color)
            image.convert("P" if number % 2 else "RGBA").save(tmp_path / name / f"{number}.png")
    return tmp_path


def of_folder(path: Path, **settings: Any) -> Recipe:
    network = NetworkSettings("nin-cifar10", last_relu=False, initialization="he", dropout=0.0)
    train = TrainSettings(8, batch_size=8, precision="fp32")
    made = Recipe(
        "test", "folder", network, train, OptimizerSettings(0.02, last_layer_lr_mult=1.0), ScheduleSettings("one-cycle")
    )
    return replace(made, folder=FolderSettings(str(path), **settings))


def test_a_folder_of_images_becomes_the_networks_input(pictures: Path) -> None:
    made = of_folder(pictures, test_share=0.3)
    train, test = (examples.load(made, split, None) for split in ("train", "test"))
    assert (train.images.shape, test.images.shape) == ((21, 32, 32, 3), (9, 32, 32, 3))
    assert train.classes == ("blue", "green", "red")
    for image, label in zip(train.images, train.labels, strict=True):
        assert image.reshape(-1, 3).argmax(1).tolist() == [2 - label] * 1024
    examples.check(made, train)
    assert examples.load(of_folder(pictures, height=8, width=12), "train", None).images.shape[1:] == (8, 12, 3)


def test_a_network_that_was_trained_on_a_folder_knows_its_labels_and_size(pictures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    summary = trainer.train(of_folder(pictures, height=16, width=16), run, on="cpu", echo=lambda line: None)
    assert (summary["test"]["images"], summary["test"]["error"]) == (6, 0)
    assert summary["dataset"]["provenance"] == "user's own"
    classifier, checkpoint = load_classifier(run / "model.safetensors")
    assert checkpoint.labels == ("blue", "green", "red")
    green = torch.zeros(1, 16, 16, 3, dtype=torch.uint8)
    green[..., 1] = 255
    assert checkpoint.labels[int(classifier(green).logits.argmax())] == "green"


def test_the_tensors_are_copies_of_the_pixels_and_labels() -> None:
    made = dataset()
    images, labels = examples.to_device(made, torch.device("cpu"))
    assert (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
    np.testing.assert_array_equal(images.numpy(), made.images)
    np.testing.assert_array_equal(labels.numpy(), made.labels)
    images.zero_()
    assert made.images.any()
