"""Scaling, standardizing, the mean image: steps that treat every pixel by itself."""

from collections.abc import Iterable

import torch
from torch import Tensor

from nin_onnx.architecture import Shape
from nin_onnx.train.preprocessing.step import Step

__all__ = ["MeanImage", "Scale", "Standardize"]


class Scale(Step):
    """Pixels 0…255 become 0…1."""

    any_size = True
    highest: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("highest", torch.tensor(255.0))  # a buffer, so that the exported constant has a name

    def forward(self, images: Tensor) -> Tensor:
        return images / self.highest


class Standardize(Step):
    """Subtract each channel's mean and divide by its standard deviation; a channel that is constant is divided by 1."""

    any_size = True
    mean: Tensor
    std: Tensor

    def __init__(self, shape: Shape) -> None:
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

    def __init__(self, shape: Shape) -> None:
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
