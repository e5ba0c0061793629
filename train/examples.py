"""The images that a recipe trains, validates and tests on: read, checked against it, as tensors on the device."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from nin_onnx import data
from nin_onnx.data import Dataset, Split
from nin_onnx.data.folder import ImageFolder
from nin_onnx.errors import RecipeError
from nin_onnx.recipe import Recipe
from nin_onnx.train.process_group import ProcessGroup

__all__ = ["Examples", "TrainingData", "check", "load", "to_device"]


class Examples(NamedTuple):
    """Images and their labels."""

    images: Tensor
    """uint8 [N, height, width, channels]."""
    labels: Tensor
    """int64 [N]."""


@dataclass(frozen=True)
class TrainingData:
    """All images that one process of a training needs."""

    trained_on: Dataset
    test: Dataset | None
    """None with `train.validation`: the test set is left alone then."""
    examples: Examples
    """The training images of all processes, on the device."""
    held_out: Examples
    """This process's part of the images that `train.validation` holds out."""
    curve: Examples | None
    """With `train.test_curve`, its part of the test images, for the error after each epoch."""
    fingerprint: str
    """Of the training images, with those held out."""
    steps_per_epoch: int

    @classmethod
    def load(cls, recipe: Recipe, data_dir: Path | None, device: torch.device, group: ProcessGroup) -> "TrainingData":
        """Read what `recipe` names; on each machine one process downloads what is absent. Raise `DataError` or `RecipeError`."""
        if not group.is_local_main:
            group.wait()  # for this machine's main process to download the data
        dataset = load(recipe, "train", data_dir)
        # Read now though used at the end, so that a broken file is found before the training.
        test = None if recipe.train.validation else load(recipe, "test", data_dir)
        if group.is_local_main:
            group.wait()
        check(recipe, dataset, group.size)
        trained_on = dataset[: len(dataset) - max(recipe.train.validation, dataset.held_out)]
        held_out = dataset[len(dataset) - recipe.train.validation :]
        return cls(
            trained_on=trained_on,
            test=test,
            examples=to_device(trained_on, device),
            held_out=to_device(held_out[group.part(len(held_out))], device),
            curve=to_device(test[group.part(len(test))], device) if test is not None and recipe.train.test_curve else None,
            fingerprint=dataset.fingerprint,
            steps_per_epoch=math.ceil(len(trained_on) / recipe.train.batch_size),
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.trained_on.classes


def load(recipe: Recipe, split: Split, data_dir: Path | None, *, download: bool = True) -> Dataset:
    """Return a split of the recipe's data set, downloaded if it is absent and `download` is set; raise `DataError`."""
    if recipe.folder is None:
        return data.load(recipe.dataset, split, data_dir, download=download)
    channels, height, width = recipe.table().input
    settings = recipe.folder
    test_path = Path(settings.test_path) if settings.test_path else None
    images = ImageFolder(
        path=Path(settings.path),
        test_path=test_path,
        test_share=settings.test_share,
        seed=settings.seed,
        height=height,
        width=width,
        channels=channels,
        fit=settings.fit,
    )
    return images.load(split)


def to_device(dataset: Dataset, device: torch.device) -> Examples:
    """Return all of `dataset` as two tensors on `device`."""
    return Examples(torch.tensor(dataset.images, device=device), torch.tensor(dataset.labels, device=device))


def check(recipe: Recipe, dataset: Dataset, processes: int = 1) -> None:
    """Raise `RecipeError` unless `dataset`, the training images, has the network's shape and classes and fills a batch."""
    table = recipe.table(len(dataset.classes))
    height, width, channels = dataset.images.shape[1:]
    for has, takes in (
        (f"images of {_size(channels, height, width)}", f"images of {_size(*table.input)}"),
        (f"{len(dataset.classes)} classes", f"{table.classes} classes"),
    ):
        if has != takes:
            raise RecipeError(
                f"'{recipe.name}': '{dataset.name}' has {has}, but '{table.name}' is made for {takes}: choose another of the two"
            )
    images = len(dataset) - max(recipe.train.validation, dataset.held_out)
    if images < recipe.train.batch_size:
        raise RecipeError(
            f"'{recipe.name}': {max(images, 0)} images of '{dataset.name}' are left to train on, fewer than a "
            f"batch of {recipe.train.batch_size}: lower train.batch_size or train.validation"
        )
    last = images % recipe.train.batch_size or recipe.train.batch_size
    if last < processes:
        raise RecipeError(
            f"'{recipe.name}': the last batch of an epoch has {last} images, fewer than {processes} processes: change "
            f"train.batch_size ({recipe.train.batch_size}), or give torchrun fewer"
        )


def _size(channels: int, height: int, width: int) -> str:
    return f"{height}×{width}×{channels}"
