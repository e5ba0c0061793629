"""The network of a training step with what lies between its matrix products fused, for a GPU; plain PyTorch elsewhere.

The same numbers as the modules of `network` behind `augmentation`, but for rounding: in each step fewer passes over memory.
Every operation has two forms, a kernel of `kernels` and its plain twin.
"""

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nin_onnx.recipe import AugmentationSettings
from nin_onnx.train.augmentation import augment, draw
from nin_onnx.train.device import autocast
from nin_onnx.train.dropout import SeededDropout
from nin_onnx.train.network import Network

__all__ = ["FusedNetwork", "Pooling", "convolution", "pooled", "usable"]

Layer = Callable[..., Tensor]


def usable() -> bool:
    """Return whether Triton is there, as it is with torch for NVIDIA GPUs."""
    return importlib.util.find_spec("triton") is not None


def _kernels(x: Tensor) -> Any:
    """Return the module of kernels if `x` can be given to them, else None: the plain twins are taken then."""
    if not x.is_cuda:
        return None
    from nin_onnx.train import kernels

    return kernels


def rows_of(x: Tensor) -> Tensor:
    """View [N, C, H, W], channels last, as [N·H·W, C]."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def images_of(rows: Tensor, like: Tensor) -> Tensor:
    """View [N·H·W, C] as [N, C, H, W] with the N, H and W of `like`."""
    n, _, height, width = like.shape
    return rows.view(n, height, width, -1).permute(0, 3, 1, 2)


def relu_backward(gradient: Tensor, result: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the gradient before a ReLU that gave `result` (None: without one), and the bias's: [N, C, H, W] and float32 [C]."""
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    kernels = _kernels(gradient)
    if kernels is None:
        before = gradient if result is None else torch.where(result > 0, gradient, 0)
        return before, before.float().sum((0, 2, 3))
    before = gradient if result is None else torch.empty_like(gradient)
    relu = None if result is None else rows_of(result)
    return before, kernels.relu_backward(rows_of(gradient), relu, None if result is None else rows_of(before))


class _Convolution(torch.autograd.Function):
    """A convolution; with bias and, if it is asked for, ReLU behind that; 1×1 kernels as a matrix product."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
        kernel = weight.to(x.dtype, memory_format=torch.channels_last)
        shift = None if bias is None else bias.to(x.dtype)
        if weight.shape[2:] == (1, 1):
            result = images_of(_product(rows_of(x), kernel.flatten(1), shift, relu), x)
        elif relu and x.is_cuda:
            padding = [weight.shape[2] // 2] * 2
            result = torch.cudnn_convolution_relu(x, kernel, shift, [1, 1], padding, [1, 1], 1)
        else:
            result = functional.conv2d(x, kernel, shift, padding=weight.shape[2] // 2)
            result = result.relu_() if relu else result
        ctx.relu, ctx.has_bias, ctx.dtype = relu, bias is not None, weight.dtype
        ctx.save_for_backward(x, kernel, result if relu else None)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        x, kernel, result = ctx.saved_tensors
        bias = None
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        if ctx.has_bias:
            gradient, bias = relu_backward(gradient, result)
        wanted = ctx.needs_input_grad[0]
        if kernel.shape[2:] == (1, 1):
            rows = rows_of(gradient)
            before = images_of(rows @ kernel.flatten(1), gradient) if wanted else None
            weight = (rows.t() @ rows_of(x)).view_as(kernel)
        else:
            padding = [kernel.shape[2] // 2] * 2
            mask = [wanted, True, False]
            before, weight, _ = torch.ops.aten.convolution_backward(
                gradient, x, kernel, None, [1, 1], padding, [1, 1], False, [0, 0], 1, mask
            )
        return before, weight.to(ctx.dtype, memory_format=torch.channels_last), bias, None


class _FirstConvolution(torch.autograd.Function):
    """A convolution as the matrix product of its patches, which get no gradient: cuDNN is slow with few channels."""

    @staticmethod
    def forward(ctx: Any, seen: Tensor, weight: Tensor, bias: Tensor | None, relu: bool, like: Tensor) -> Tensor:
        matrix = weight.to(seen.dtype).permute(0, 2, 3, 1).flatten(1)
        matrix = functional.pad(matrix, (0, seen.shape[1] - matrix.shape[1]))
        shift = None if bias is None else bias.to(seen.dtype)
        result = images_of(_product(seen, matrix, shift, relu), like)
        ctx.shape, ctx.has_bias, ctx.dtype = weight.shape, bias is not None, weight.dtype
        ctx.save_for_backward(seen, result if relu else None)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor | None, None, None]:
        seen, result = ctx.saved_tensors
        bias = None
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        if ctx.has_bias:
            gradient, bias = relu_backward(gradient, result)
        channels, inputs, kernel, _ = ctx.shape
        matrix = rows_of(gradient).t() @ seen
        weight = matrix[:, : inputs * kernel**2].view(channels, kernel, kernel, inputs).permute(0, 3, 1, 2)
        return None, weight.to(ctx.dtype, memory_format=torch.channels_last), bias, None, None


def _product(rows: Tensor, matrix: Tensor, bias: Tensor | None, relu: bool) -> Tensor:
    """Multiply `rows` [M, K] by the transposed `matrix` [C, K], add `bias` [C], and apply ReLU if it is asked for."""
    if bias is None:
        return rows @ matrix.t()
    if relu:
        return torch._addmm_activation(bias, rows, matrix.t())
    return torch.addmm(bias, rows, matrix.t())


def convolution(x: Tensor, layer: nn.Conv2d, *, bias: bool = True, relu: bool = False) -> Tensor:
    """Return what `layer`, of stride 1 and with its size kept, makes of `x` [N, C, H, W] in the precision of `x`."""
    result: Tensor = _Convolution.apply(x, layer.weight, layer.bias if bias else None, relu)
    return result


class Pooling(NamedTuple):
    """A max pool of windows `kernel` × `kernel`, ceil mode, with what stands behind it."""

    kernel: int
    stride: int
    relu: bool
    dropout: SeededDropout | None

    @property
    def dropped(self) -> int:
        """Of 256 numbers."""
        return self.dropout.dropped if self.dropout else 0

    @property
    def scale(self) -> float:
        """What the numbers that stay are multiplied by."""
        return 1 / (1 - self.dropped / 256) if self.dropout and self.dropout.scaling == "training" else 1.0


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor, key: Tensor, pooling: Pooling) -> Tensor:
        from nin_onnx.train import kernels

        n, channels, height, width = x.shape
        out_height, out_width = (-((pooling.kernel - side) // pooling.stride) + 1 for side in (height, width))
        x = x.contiguous(memory_format=torch.channels_last)
        out = x.new_empty(n, out_height, out_width, channels)
        index = torch.empty_like(out, dtype=torch.uint8)
        kernels.max_pool_forward(
            x.permute(0, 2, 3, 1),
            bias,
            key,
            out,
            index,
            pooling.kernel,
            pooling.stride,
            pooling.relu,
            pooling.dropped,
            pooling.scale,
        )
        ctx.pooling, ctx.shape = pooling, (n, height, width, channels)
        ctx.save_for_backward(index)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        from nin_onnx.train import kernels

        (index,), pooling = ctx.saved_tensors, ctx.pooling
        behind = gradient.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
        before = behind.new_empty(ctx.shape)
        kernels.max_pool_backward(behind, index, before, pooling.kernel, pooling.stride, pooling.scale)
        channels = behind.shape[3]
        bias = kernels.column_sums(behind.reshape(-1, channels), index.view(-1, channels), pooling.scale)
        return before.permute(0, 3, 1, 2), bias, None, None


def pooled(x: Tensor, bias: Tensor, pooling: Pooling) -> Tensor:
    """Return `x` [N, C, H, W] pooled, plus `bias` [C], with ReLU and dropout as `pooling` asks for.

    The bias of the layer before may be added behind the pool, since the highest number stays the highest.
    """
    if _kernels(x) is not None:
        key = pooling.dropout.key if pooling.dropout else x.new_zeros((), dtype=torch.int64)
        result: Tensor = _Pooled.apply(x, bias, key, pooling)
        return result
    x = functional.max_pool2d(x, pooling.kernel, pooling.stride, ceil_mode=True) + bias.to(x.dtype).view(-1, 1, 1)
    x = x.relu() if pooling.relu else x
    return pooling.dropout(x) if pooling.dropout else x


class FusedNetwork:
    """Calculates what `network` makes of preprocessed images, cropped and flipped as `augmentation` says."""

    def __init__(self, network: Network, augmentation: AugmentationSettings, dtype: torch.dtype) -> None:
        self.augmentation, self.dtype = augmentation, dtype
        modules = list(network.for_training())
        assert isinstance(modules[0], nn.Conv2d)  # as in all architectures
        self.first, self.width = modules[0], -(-modules[0].weight[0].numel() // 16) * 16
        self.layers: list[Layer] = []
        while modules:
            self.layers.append(self._next(modules))

    def __call__(self, images: Tensor, rows: Tensor, key: Tensor) -> Tensor:
        """Return the answers for the `rows` [N] of `images` [*, C, H, W]; `key` [] is that of `augmentation.draw`."""
        x: Any = self._patches(images, rows, key)
        for layer in self.layers:
            x = layer(x)
        answer: Tensor = x
        return answer

    def _patches(self, images: Tensor, rows: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        kernel, padding, settings = self.first.kernel_size[0], int(self.first.padding[0]), self.augmentation
        count, (_, height, width) = len(rows), images.shape[1:]
        like = images[:1].expand(count, -1, -1, -1)
        kernels = _kernels(images)
        if kernels is not None:
            seen = images.new_empty(count * height * width, self.width, dtype=self.dtype)
            kernels.patches(images, rows, key, seen, kernel, padding, settings.padding, settings.flip)
            return seen, like
        x = augment(images[rows], settings, draw(settings, key, slice(0, count), images.device)).to(self.dtype)
        columns = functional.unfold(x, kernel, padding=padding)  # [N, C·k·k, H·W]
        columns = columns.unflatten(1, (x.shape[1], kernel**2)).permute(0, 3, 2, 1).reshape(count * height * width, -1)
        return functional.pad(columns, (0, self.width - columns.shape[1])), like

    def _next(self, modules: list[nn.Module]) -> Layer:
        """Take the next layer off `modules`, with what is fused to it."""

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
                seen, like = x
                x = _FirstConvolution.apply(seen, layer.weight, layer.bias if bias else None, fuse_relu, like)
            else:
                x = convolution(x, layer, bias=bias, relu=fuse_relu)
            assert layer.bias is not None
            return x if pooling is None else pooled(x, layer.bias, pooling)

        return forward

    def _plainly(self, module: nn.Module, x: Tensor) -> Tensor:
        with autocast(x.device, self.dtype):
            result: Tensor = module(x)
        return result
