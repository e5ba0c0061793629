"""ZCA whitening (the paper's CIFAR-10 and CIFAR-100)."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from nin_onnx.architecture import Shape
from nin_onnx.train.preprocessing.step import Step

__all__ = ["Whitening"]


class Whitening(Step):
    """Subtract the mean image and multiply by (C + 0.1·I)^-½, C the covariance of the training images' values.

    Source: pylearn2's `ZCA` with a filter bias of 0.1. The matrix of a 32×32×3 image has 3072² numbers, 37.7 MB in float32.
    They are rounded to half precision, which moves whitened images by about 0.1 %: training, checkpoint and exported graph
    have the same numbers, and the graph stores them in half the bytes.
    """

    FILTER_BIAS = 0.1
    mean: Tensor
    matrix: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        values = math.prod(shape)
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("matrix", torch.zeros(values, values))

    def fit(self, batches: Iterable[Tensor]) -> None:
        count, total, products = 0, torch.zeros_like(self.mean), torch.zeros_like(self.matrix)
        for batch in batches:
            values = batch.flatten(1)  # [N, C·H·W]
            count += len(values)
            total += values.sum(0)
            products.addmm_(values.T, values)
        mean = total / count
        covariance = products / count - torch.outer(mean, mean)
        covariance.diagonal().add_(self.FILTER_BIAS)
        eigenvalues, eigenvectors = torch.linalg.eigh(covariance)
        self.mean.copy_(mean)
        self.matrix.copy_(eigenvectors * eigenvalues.rsqrt() @ eigenvectors.T)
        self.settle()

    def settle(self) -> None:
        self.matrix.copy_(self.matrix.half())

    def forward(self, images: Tensor) -> Tensor:
        return ((images.flatten(1) - self.mean) @ self.matrix).reshape(-1, *self.shape)
