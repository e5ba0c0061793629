"""Random crops and flips of a whole batch at once, on the device where it lies."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from nin_onnx.train.recipe import Augmentation

__all__ = ["Choices", "augment", "draw"]


class Choices(NamedTuple):
    """What happens to each image of a batch."""

    offsets: Tensor
    """int64 [N, 2]: row and column of the crop in the padded image."""
    flipped: Tensor
    """bool [N]."""

    def of(self, rows: slice) -> "Choices":
        """Those for some of the batch's images."""
        return Choices(self.offsets[rows], self.flipped[rows])


def draw(recipe: Augmentation, images: int, generator: torch.Generator) -> Choices:
    """Choose for a batch of `images` from `generator`, a CPU one: the same on every device."""
    offsets = torch.randint(0, 2 * recipe.padding + 1, (images, 2), generator=generator)
    flipped = torch.rand(images, generator=generator) < (0.5 if recipe.flip else 0)
    return Choices(offsets, flipped)


def augment(images: Tensor, recipe: Augmentation, choices: Choices) -> Tensor:
    """Pad with zeros, crop, flip; `images` [N, C, H, W] are preprocessed, so that zeros stand for the mean (paper §4.2)."""
    n, _, height, width = images.shape
    device = images.device
    if recipe.padding:
        offsets = choices.offsets.to(device)
        rows = offsets[:, :1] + torch.arange(height, device=device)  # [N, H]
        columns = offsets[:, 1:] + torch.arange(width, device=device)  # [N, W]
        padded = functional.pad(images, (recipe.padding,) * 4)
        batch = torch.arange(n, device=device)[:, None, None]
        images = padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if recipe.flip:
        images = torch.where(choices.flipped.to(device)[:, None, None, None], images.flip(3), images)
    return images
