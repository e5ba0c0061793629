"""Preprocessing as modules in front of the network: fitted on the training images, stored and exported with it."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

__all__ = ["STEPS", "MeanImage", "Preprocessing", "Scale", "Standardise", "Step", "build"]


class Step(nn.Module):
    """One step: images [N, channels, height, width] in, the same shape out."""

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Learn the step's buffers from float64 batches of the training images, as the steps before it left them."""


class Scale(Step):
    """Pixels 0…255 become 0…1."""

    highest: Tensor

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("highest", torch.tensor(255.0))  # a buffer, so that the exported constant has a name

    def forward(self, images: Tensor) -> Tensor:
        return images / self.highest


class Standardise(Step):
    """Subtract each channel's mean and divide by its standard deviation; a channel that is constant is divided by 1."""

    mean: Tensor
    std: Tensor

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape[0], 1, 1))
        self.register_buffer("std", torch.ones(shape[0], 1, 1))

    def fit(self, batches: Iterable[Tensor]) -> None:
        count, total, squares = 0, torch.tensor(0.0), torch.tensor(0.0)
        for batch in batches:
            pixels = batch.transpose(0, 1).flatten(1)  # [C, N·H·W]
            count += pixels.shape[1]
            total = total + pixels.sum(1)
            squares = squares + pixels.square().sum(1)
        mean = total / count
        std = (squares / count - mean.square()).clamp(min=0).sqrt()
        constant = std <= 1e-6 * (squares / count).sqrt()  # but for rounding, which leaves about 1e-8
        self.mean.copy_(mean[:, None, None])
        self.std.copy_(torch.where(constant, 1, std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std


class MeanImage(Step):
    """Subtract the mean image (the paper's MNIST)."""

    mean: Tensor

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))

    def fit(self, batches: Iterable[Tensor]) -> None:
        count, total = 0, torch.tensor(0.0)
        for batch in batches:
            count += len(batch)
            total = total + batch.sum(0)
        self.mean.copy_(total / count)

    def forward(self, images: Tensor) -> Tensor:
        return images - self.mean


STEPS: Mapping[str, Callable[[tuple[int, int, int]], Step]] = MappingProxyType(
    {"scale": Scale, "standardise": Standardise, "mean_image": MeanImage}
)
"""Every step by the name that recipes use; each is made for a shape (channels, height, width)."""


class Preprocessing(nn.Sequential):
    """The steps of a recipe, first to last: uint8 [N, height, width, channels] in, [N, channels, height, width] out."""

    def forward(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        x = images.permute(0, 3, 1, 2).to(dtype)
        for step in self:
            x = step(x)
        return x

    def fit(self, images: Tensor, batch: int = 1000) -> None:
        """Fit every step on the training images, uint8 [N, height, width, channels], in float64."""

        def through(steps: list[nn.Module]) -> Iterable[Tensor]:
            for part in images.split(batch):
                x = part.permute(0, 3, 1, 2).double()
                for step in steps:
                    x = step(x)
                yield x

        self.double()  # what a later step sees has float64's precision
        done: list[nn.Module] = []
        for step in self:
            assert isinstance(step, Step)
            step.fit(through(done))
            done.append(step)
        self.float()


def build(names: Iterable[str], shape: tuple[int, int, int]) -> Preprocessing:
    """The steps of that name for images of `shape` (channels, height, width), not yet fitted."""
    preprocessing = Preprocessing()
    for name in names:
        preprocessing.add_module(name, STEPS[name](shape))
    return preprocessing
