"""Convolutions of a fused training step: bias and ReLU as part of a matrix product, with kernels on a GPU.

Every operation has two forms, a kernel of `kernels` and its plain PyTorch twin.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nin_onnx.train import device

__all__ = ["convolution", "first_convolution", "relu_backward"]


def rows_of(x: Tensor) -> Tensor:
    """View [N, C, H, W], channels last, as [N·H·W, C]."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def images_of(rows: Tensor, like: Tensor) -> Tensor:
    """View [N·H·W, C] as [N, C, H, W] with the N, H and W of `like`."""
    n, _, height, width = like.shape
    return rows.view(n, height, width, -1).permute(0, 3, 1, 2)


def relu_backward(gradient: Tensor, result: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the gradient before a ReLU with output `result` (None: without one) [N, C, H, W], and the bias's, float32 [C]."""
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    kernels = device.kernels_for(gradient)
    if kernels is None:
        before = gradient if result is None else torch.where(result > 0, gradient, 0)
        return before, before.float().sum((0, 2, 3))
    before = gradient if result is None else torch.empty_like(gradient)
    relu = None if result is None else rows_of(result)
    return before, kernels.relu_backward(rows_of(gradient), relu, None if result is None else rows_of(before))


def _before_bias(ctx: Any, gradient: Tensor, result: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Start the backward pass of both convolutions: return the gradient before ReLU and bias, and the bias's if there is one."""
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    return relu_backward(gradient, result) if ctx.has_bias else (gradient, None)


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
        gradient, bias = _before_bias(ctx, gradient, result)
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
    def forward(ctx: Any, patches: Tensor, weight: Tensor, bias: Tensor | None, relu: bool, like: Tensor) -> Tensor:
        matrix = weight.to(patches.dtype).permute(0, 2, 3, 1).flatten(1)
        matrix = functional.pad(matrix, (0, patches.shape[1] - matrix.shape[1]))
        shift = None if bias is None else bias.to(patches.dtype)
        result = images_of(_product(patches, matrix, shift, relu), like)
        ctx.shape, ctx.has_bias, ctx.dtype = weight.shape, bias is not None, weight.dtype
        ctx.save_for_backward(patches, result if relu else None)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor | None, None, None]:
        patches, result = ctx.saved_tensors
        gradient, bias = _before_bias(ctx, gradient, result)
        channels, inputs, kernel, _ = ctx.shape
        matrix = rows_of(gradient).t() @ patches
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
    """Return the output of `layer`, of stride 1 and same size, for `x` [N, C, H, W], in the precision of `x`."""
    result: Tensor = _Convolution.apply(x, layer.weight, layer.bias if bias else None, relu)
    return result


def first_convolution(patches: Tensor, layer: nn.Conv2d, like: Tensor, *, bias: bool = True, relu: bool = False) -> Tensor:
    """Return `convolution` of images whose `patches` [N·H·W, K] are given; N, H and W are those of `like`."""
    result: Tensor = _FirstConvolution.apply(patches, layer.weight, layer.bias if bias else None, relu, like)
    return result
