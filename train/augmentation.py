"""Random crops and flips of a whole batch at once, on the device where it lies."""

import torch
from torch import Tensor
from torch.nn import functional

from nin_onnx.train.recipe import Augmentation

__all__ = ["augment"]


def augment(images: Tensor, recipe: Augmentation, generator: torch.Generator) -> Tensor:
    """Pad with zeros, crop at random, flip from left to right with probability ½; `images` [N, C, H, W], preprocessed.

    Zeros stand for the mean, since the images are preprocessed (paper §4.2). The choices come from `generator`, a CPU one: the
    same on every device.
    """
    n, _, height, width = images.shape
    device = images.device
    if recipe.padding:
        offsets = torch.randint(0, 2 * recipe.padding + 1, (2, n, 1), generator=generator).to(device)
        rows = torch.arange(height, device=device) + offsets[0]  # [N, H]
        columns = torch.arange(width, device=device) + offsets[1]  # [N, W]
        padded = functional.pad(images, (recipe.padding,) * 4)
        batch = torch.arange(n, device=device)[:, None, None]
        images = padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if recipe.flip:
        flipped = torch.rand(n, generator=generator).to(device) < 0.5
        images = torch.where(flipped[:, None, None, None], images.flip(3), images)
    return images
