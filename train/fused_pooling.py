"""Max pooling of a fused training step, with bias, ReLU and dropout behind it in the same pass over memory."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from nin_onnx.train import device
from nin_onnx.train.dropout import SeededDropout

__all__ = ["Pooling", "pooled"]


class Pooling(NamedTuple):
    """A max pool of windows `kernel` × `kernel`, ceil mode, and what follows it."""

    kernel: int
    stride: int
    relu: bool
    dropout: SeededDropout | None

    @property
    def dropped(self) -> int:
        """How many of 256 numbers dropout sets to 0."""
        return self.dropout.dropped if self.dropout else 0

    @property
    def scale(self) -> float:
        """What the other numbers are multiplied by."""
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
        kernels.max_pool_forward(x.permute(0, 2, 3, 1), bias, key, out, index, pooling)
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
        kernels.max_pool_backward(behind, index, before, pooling)
        channels = behind.shape[3]
        bias = kernels.column_sums(behind.reshape(-1, channels), index.view(-1, channels), pooling.scale)
        return before.permute(0, 3, 1, 2), bias, None, None


def pooled(x: Tensor, bias: Tensor, pooling: Pooling) -> Tensor:
    """Return `x` [N, C, H, W] pooled, plus `bias` [C], with ReLU and dropout as `pooling` asks for.

    The bias of the layer before may be added after the pool, since the highest number stays the highest.
    """
    if device.kernels_for(x) is not None:
        key = pooling.dropout.key if pooling.dropout else x.new_zeros((), dtype=torch.int64)
        result: Tensor = _Pooled.apply(x, bias, key, pooling)
        return result
    x = functional.max_pool2d(x, pooling.kernel, pooling.stride, ceil_mode=True) + bias.to(x.dtype).view(-1, 1, 1)
    x = x.relu() if pooling.relu else x
    return pooling.dropout(x) if pooling.dropout else x
