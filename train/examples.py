"""The images that a recipe trains, validates and tests on: checked against it, as tensors on the device."""

from typing import NamedTuple

import torch
from torch import Tensor

from nin_onnx.architecture import architecture
from nin_onnx.data.dataset import Dataset
from nin_onnx.errors import RecipeError
from nin_onnx.train.recipe import Recipe

__all__ = ["Examples", "check", "to_device"]


class Examples(NamedTuple):
    """Images and their labels."""

    images: Tensor
    """uint8 [N, height, width, channels]."""
    labels: Tensor
    """int64 [N]."""


def to_device(dataset: Dataset, device: torch.device) -> Examples:
    """The whole of `dataset` as two tensors on `device`."""
    return Examples(torch.tensor(dataset.images, device=device), torch.tensor(dataset.labels, device=device))


def check(recipe: Recipe, dataset: Dataset) -> None:
    """Raise `RecipeError` unless `dataset`, the training images, has the network's shape and classes and fills a batch."""
    table = architecture(recipe.network.architecture)
    height, width, channels = dataset.images.shape[1:]
    for has, takes in (
        (f"images of {_size(channels, height, width)}", f"images of {_size(*table.input)}"),
        (f"{len(dataset.classes)} classes", f"{table.classes} classes"),
    ):
        if has != takes:
            raise RecipeError(
                f"'{recipe.name}': '{dataset.name}' has {has}, but '{table.name}' is made for {takes}: choose another of the two"
            )
    images = len(dataset) - recipe.train.validation
    if images < recipe.train.batch_size:
        raise RecipeError(
            f"'{recipe.name}': {max(images, 0)} images of '{dataset.name}' are left to train on, fewer than a "
            f"batch of {recipe.train.batch_size}: lower train.batch_size or train.validation"
        )


def _size(channels: int, height: int, width: int) -> str:
    return f"{height}×{width}×{channels}"
