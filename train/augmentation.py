"""Random crops and flips of a whole batch at once, on the device where it lies."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from nin_onnx.recipe import AugmentationSettings
from nin_onnx.train.randomness import random_words

__all__ = ["Choices", "augment", "draw"]


class Choices(NamedTuple):
    """What happens to each image of a batch."""

    offsets: Tensor
    """int64 [N, 2]: row and column of the crop in the padded image."""
    flipped: Tensor
    """bool [N]."""


def draw(recipe: AugmentationSettings, key: int | Tensor, rows: slice, device: torch.device) -> Choices:
    """Choose for the images `rows` of a batch: a function of `key` (see `randomness.key`) and of the place in the batch."""
    words = random_words(key, 3 * rows.start, 3 * (rows.stop - rows.start), device).view(-1, 3)
    offsets = words[:, :2].bitwise_and(2**62 - 1).remainder(2 * recipe.padding + 1)
    return Choices(offsets, words[:, 2] < 0)


def augment(images: Tensor, recipe: AugmentationSettings, choices: Choices) -> Tensor:
    """Pad with zeros, crop, flip; `images` [N, C, H, W] are preprocessed, so that zeros stand for the mean (paper §4.2)."""
    n, _, height, width = images.shape
    device = images.device
    if recipe.padding:
        rows = choices.offsets[:, :1] + torch.arange(height, device=device)  # [N, H]
        columns = choices.offsets[:, 1:] + torch.arange(width, device=device)  # [N, W]
        padded = functional.pad(images, (recipe.padding,) * 4)
        batch = torch.arange(n, device=device)[:, None, None]
        images = padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if recipe.flip:
        images = torch.where(choices.flipped[:, None, None, None], images.flip(3), images)
    return images
