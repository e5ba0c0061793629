"""The network of a training step with what lies between its matrix products fused, for a GPU; plain PyTorch elsewhere.

It computes the same numbers as the modules of `network` behind `augmentation`, but for rounding, in fewer passes over memory.
"""

import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nin_onnx.recipe import AugmentationSettings
from nin_onnx.train import device
from nin_onnx.train.augmentation import augment, draw
from nin_onnx.train.device import autocast
from nin_onnx.train.dropout import SeededDropout
from nin_onnx.train.fused_convolution import convolution, first_convolution
from nin_onnx.train.fused_pooling import Pooling, pooled
from nin_onnx.train.network import Network

__all__ = ["FusedNetwork", "usable"]

Layer = Callable[..., Tensor]


def usable() -> bool:
    """Return whether Triton is installed, as it is with torch for NVIDIA GPUs."""
    return importlib.util.find_spec("triton") is not None


class FusedNetwork:
    """Computes the output of `network` for preprocessed images, cropped and flipped by `augmentation`."""

    def __init__(self, network: Network, augmentation: AugmentationSettings, dtype: torch.dtype) -> None:
        self.augmentation, self.dtype = augmentation, dtype
        modules = list(network.for_training())
        assert isinstance(modules[0], nn.Conv2d)  # as in all architectures
        self.first, self.width = modules[0], -(-modules[0].weight[0].numel() // 16) * 16
        self.layers: list[Layer] = []
        while modules:
            self.layers.append(self._next(modules))

    def __call__(self, images: Tensor, rows: Tensor, key: Tensor) -> Tensor:
        """Return the output for the `rows` [N] of `images` [*, C, H, W]; `key` [] is that of `augmentation.draw`."""
        x: Any = self._patches(images, rows, key)
        for layer in self.layers:
            x = layer(x)
        output: Tensor = x
        return output

    def _patches(self, images: Tensor, rows: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        kernel, padding, settings = self.first.kernel_size[0], int(self.first.padding[0]), self.augmentation
        count, (_, height, width) = len(rows), images.shape[1:]
        like = images[:1].expand(count, -1, -1, -1)
        kernels = device.kernels_for(images)
        if kernels is not None:
            patches = images.new_empty(count * height * width, self.width, dtype=self.dtype)
            kernels.patches(images, rows, key, patches, kernel, padding, settings.padding, settings.flip)
            return patches, like
        x = augment(images[rows], settings, draw(settings, key, slice(0, count), images.device)).to(self.dtype)
        columns = functional.unfold(x, kernel, padding=padding)  # [N, C·k·k, H·W]
        columns = columns.unflatten(1, (x.shape[1], kernel**2)).permute(0, 3, 2, 1).reshape(count * height * width, -1)
        return functional.pad(columns, (0, self.width - columns.shape[1])), like

    def _next(self, modules: list[nn.Module]) -> Layer:
        """Remove the next layer from `modules`, with those that are fused with it, and return their function."""

        def taken(kind: type[nn.Module]) -> Any:
            return modules.pop(0) if modules and isinstance(modules[0], kind) else None

        layer = modules.pop(0)
        if not isinstance(layer, nn.Conv2d):
            return lambda x: self._plainly(layer, x)
        is_first = layer is self.first
        pool = taken(nn.MaxPool2d)
        relu = taken(nn.ReLU) is not None
        pooling = Pooling(pool.kernel_size, pool.stride, relu, taken(SeededDropout)) if pool else None

        def forward(x: Any) -> Tensor:
            bias, fuse_relu = pooling is None, relu and pooling is None
            if is_first:
                patches, like = x
                x = first_convolution(patches, layer, like, bias=bias, relu=fuse_relu)
            else:
                x = convolution(x, layer, bias=bias, relu=fuse_relu)
            assert layer.bias is not None
            return x if pooling is None else pooled(x, layer.bias, pooling)

        return forward

    def _plainly(self, module: nn.Module, x: Tensor) -> Tensor:
        with autocast(x.device, self.dtype):
            result: Tensor = module(x)
        return result
