"""Contrast normalization: of the whole image (GCN), and of each pixel's neighborhood (LeCun's LCN).

Source: pylearn2, whose scripts the paper follows (`expr/preprocessing.py`, `datasets/preprocessing.py`).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from nin_onnx.architecture import Shape
from nin_onnx.train.preprocessing.step import Step

__all__ = ["GlobalContrast", "GlobalContrast55", "LocalContrast"]


class GlobalContrast(Step):
    """Subtract each image's mean over all its values, and divide by the L2 norm of what is left (the paper's SVHN).

    Calculated as n·x - Σx over the norm of that, n values in an image: the same ratio, since the norm grows with n too, but
    in whole numbers that float32 holds exactly. So an image of one color becomes 0 on every runtime, also where one
    replaces the division by n with a product. Where the norm is below 1e-8, which is only there, the divisor is 1e-8.
    """

    scale = 1.0
    values: Tensor
    lowest: Tensor
    norm: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("values", torch.tensor(float(math.prod(shape))))
        self.register_buffer("lowest", torch.tensor(1e-8 * math.prod(shape)))
        self.register_buffer("norm", torch.tensor(self.scale))

    def forward(self, images: Tensor) -> Tensor:
        centered = self.values * images - images.sum((1, 2, 3), keepdim=True)
        length = centered.square().sum((1, 2, 3), keepdim=True).sqrt()
        return centered / torch.maximum(length, self.lowest) * self.norm


class GlobalContrast55(GlobalContrast):
    """The same, scaled to an L2 norm of 55 (the paper's CIFAR-10 and CIFAR-100)."""

    scale = 55.0


class LocalContrast(Step):
    """Subtract each pixel's neighborhood and divide by its strength, in every channel by itself (the paper's SVHN).

    The neighborhood is a 7×7 Gaussian, σ = 2, sum 1, with zeros past the border; its strength is the root of the mean
    square in it, or the mean of these over the image where that is larger, and at least 1e-4.
    """

    SIDE, SIGMA, LOWEST = 7, 2.0, 1e-4
    gaussian: Tensor
    lowest: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        distance = torch.arange(self.SIDE, dtype=torch.float64) - self.SIDE // 2
        line = torch.exp(-distance.square() / (2 * self.SIGMA**2))
        kernel = torch.outer(line, line)
        kernel /= kernel.sum()
        self.register_buffer("gaussian", kernel.float().expand(shape[0], 1, -1, -1).contiguous())
        self.register_buffer("lowest", torch.tensor(self.LOWEST))

    def forward(self, images: Tensor) -> Tensor:
        strength = self._blurred(images.square()).sqrt()
        divisor = torch.maximum(strength, strength.mean((2, 3), keepdim=True))
        return (images - self._blurred(images)) / torch.maximum(divisor, self.lowest)

    def _blurred(self, images: Tensor) -> Tensor:
        return functional.conv2d(images, self.gaussian, padding=self.SIDE // 2, groups=images.shape[1])
