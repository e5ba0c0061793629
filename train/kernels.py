"""Triton kernels of a training step on a GPU: what cuDNN and cuBLAS leave to several passes over memory, each in one.

Images and activations lie channels last: [N, H, W, C] in memory. Each kernel's plain PyTorch twin is in `fused` and its
parts, and the tests run both, the kernels by Triton's interpreter.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from nin_onnx.train.fused_pooling import Pooling

__all__ = ["column_sums", "max_pool_backward", "max_pool_forward", "patches", "relu_backward"]

NONE = 255
"""Index of a window that gets no gradient: its output is 0."""

GOLDEN, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # of SplitMix64, as in `randomness`


def _tile(channels: int) -> int:
    return max(16, 1 << (channels - 1).bit_length())


@triton.jit
def _word(key, place, GOLDEN: tl.constexpr, FIRST: tl.constexpr, SECOND: tl.constexpr):
    """Word `place` of the stream of `key`, as `randomness.random_words` defines it."""
    z = (place.to(tl.uint64) + 1) * GOLDEN + key.to(tl.uint64)
    z = (z ^ (z >> 30)) * FIRST
    z = (z ^ (z >> 27)) * SECOND
    return z ^ (z >> 31)


@triton.jit
def _patches(
    images, rows, key, out, COUNT, C: tl.constexpr, H: tl.constexpr, W: tl.constexpr, KERNEL: tl.constexpr, PAD: tl.constexpr,
    WIDTH: tl.constexpr, CROP: tl.constexpr, FLIP: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr,
    GOLDEN: tl.constexpr, FIRST: tl.constexpr, SECOND: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(0) * BM + tl.arange(0, BM)  # places in the batch's images
    k = tl.arange(0, BK)
    inside = m < COUNT * H * W
    n, h, w = m // (H * W), m // W % H, m % W
    tap = k // C
    y = h[:, None] + (tap // KERNEL - PAD)[None, :]
    x = w[:, None] + (tap % KERNEL - PAD)[None, :]
    real = inside[:, None] & (k < C * KERNEL * KERNEL)[None, :] & (y >= 0) & (y < H) & (x >= 0) & (x < W)
    if CROP or FLIP:
        stream = tl.load(key)
        if FLIP:
            flipped = _word(stream, 3 * n + 2, GOLDEN, FIRST, SECOND) >> 63 > 0
            x = tl.where(flipped[:, None], W - 1 - x, x)
        if CROP:
            down = (_word(stream, 3 * n, GOLDEN, FIRST, SECOND) & 0x3FFFFFFFFFFFFFFF).to(tl.int64) % (2 * CROP + 1)
            right = (_word(stream, 3 * n + 1, GOLDEN, FIRST, SECOND) & 0x3FFFFFFFFFFFFFFF).to(tl.int64) % (2 * CROP + 1)
            y += down.to(tl.int32)[:, None] - CROP
            x += right.to(tl.int32)[:, None] - CROP
            real = real & (y >= 0) & (y < H) & (x >= 0) & (x < W)
    row = tl.load(rows + n, mask=inside, other=0)
    at = ((row[:, None] * C + (k % C)[None, :]) * H + y) * W + x
    values = tl.load(images + at, mask=real, other=0.0)
    tl.store(out + m[:, None].to(tl.int64) * WIDTH + k[None, :], values.to(out.dtype.element_ty),
             mask=inside[:, None] & (k < WIDTH)[None, :])  # fmt: skip


def patches(images: Tensor, rows: Tensor, key: Tensor, out: Tensor, kernel: int, padding: int, crop: int, flip: bool) -> None:
    """Fill `out` [N·H·W, width]: what a convolution of the `rows` [N] of `images` [*, C, H, W] sees at each place.

    In the order kernel row, kernel column, channel; zeros up to `width`. Images are cropped by at most `crop` and flipped first,
    as `augmentation` does by the same `key` [].
    """
    assert images.is_contiguous()
    _, channels, height, width = images.shape
    places, columns = len(rows) * height * width, out.shape[1]
    _patches[(triton.cdiv(places, 64),)](
        images, rows, key, out, len(rows), C=channels, H=height, W=width, KERNEL=kernel, PAD=padding, WIDTH=columns, CROP=crop,
        FLIP=flip, BM=64, BK=_tile(columns), GOLDEN=GOLDEN, FIRST=FIRST, SECOND=SECOND,
    )  # fmt: skip


@triton.jit
def _relu_backward(
    gradient, selector, out, partial, M, ROUNDS, C: tl.constexpr, NONE: tl.constexpr, RELU: tl.constexpr, POOLED: tl.constexpr,
    BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    c = tl.arange(0, BC)
    total = tl.zeros((BM, BC), tl.float32)
    for number in range(ROUNDS):
        m = (program * ROUNDS + number) * BM + tl.arange(0, BM)
        at = m[:, None] * C + c[None, :]
        inside = (m[:, None] < M) & (c[None, :] < C)
        g = tl.load(gradient + at, mask=inside, other=0.0)
        if RELU:
            y = tl.load(selector + at, mask=inside, other=0.0)
            g = tl.where(y <= 0, 0.0, g)
            tl.store(out + at, g, mask=inside)
        if POOLED:
            index = tl.load(selector + at, mask=inside, other=NONE)
            g = tl.where(index == NONE, 0.0, g)
        total += g.to(tl.float32)
    tl.store(partial + program * C + c, tl.sum(total, 0), mask=c < C)


@triton.jit
def _column_sums(partial, out, P, C, scale, BP: tl.constexpr, BC: tl.constexpr):
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    total = tl.zeros((BP, BC), tl.float32)
    for first in range(0, P, BP):
        p = first + tl.arange(0, BP)
        total += tl.load(partial + p[:, None] * C + c[None, :], mask=(p[:, None] < P) & (c[None, :] < C), other=0.0)
    tl.store(out + c, tl.sum(total, 0) * scale, mask=c < C)


def _summed(gradient: Tensor, selector: Tensor | None, out: Tensor | None, scale: float, *, relu: bool, pooled: bool) -> Tensor:
    count, channels = gradient.shape
    tile = _tile(channels)
    rows = max(1, 4096 // tile)  # of a tile: 16 numbers for each of 256 threads
    rounds = max(1, triton.cdiv(count, rows * 528))  # four programs for each of an H100's multiprocessors
    programs = triton.cdiv(count, rows * rounds)
    partial = gradient.new_empty((programs, channels), dtype=torch.float32)
    _relu_backward[(programs,)](
        gradient, gradient if selector is None else selector, gradient if out is None else out, partial, count, rounds,
        C=channels, NONE=NONE, RELU=relu, POOLED=pooled, BM=rows, BC=tile, num_warps=8,
    )  # fmt: skip
    total = partial.new_empty(channels)
    _column_sums[(triton.cdiv(channels, 16),)](partial, total, programs, channels, scale, BP=128, BC=16, num_warps=4)
    return total


def relu_backward(gradient: Tensor, result: Tensor | None, out: Tensor | None) -> Tensor:
    """Write `gradient` [M, C] to `out` where `result` is positive, 0 elsewhere; return its sums over M, float32 [C].

    Without `result` nothing is written and all of `gradient` is summed.
    """
    return _summed(gradient, result, out, 1.0, relu=result is not None, pooled=False)


def column_sums(gradient: Tensor, index: Tensor, scale: float) -> Tensor:
    """Return the sums over M of `gradient` [M, C] where `index` [M, C] is not `NONE`, times `scale`: float32 [C]."""
    return _summed(gradient, index, None, scale, relu=False, pooled=True)


@triton.jit
def _max_pool_forward(
    x, bias, key, out, index, COUNT, scale, H: tl.constexpr, W: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr,
    C: tl.constexpr, KERNEL: tl.constexpr, STRIDE: tl.constexpr, RELU: tl.constexpr, DROPPED: tl.constexpr, NONE: tl.constexpr,
    BM: tl.constexpr, BC: tl.constexpr, GOLDEN: tl.constexpr, FIRST: tl.constexpr, SECOND: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    c = tl.arange(0, BC)
    n, h, w = m // (OH * OW), m // OW % OH, m % OW
    inside = (m < COUNT * OH * OW)[:, None] & (c < C)[None, :]
    best = tl.full((BM, BC), float("-inf"), tl.float32)
    which = tl.zeros((BM, BC), tl.int32)
    for tap in tl.static_range(KERNEL * KERNEL):
        y, z = h * STRIDE + tap // KERNEL, w * STRIDE + tap % KERNEL
        seen = inside & ((y < H) & (z < W))[:, None]
        value = tl.load(x + ((n * H + y) * W + z)[:, None] * C + c[None, :], mask=seen, other=float("-inf")).to(tl.float32)
        higher = (value > best) | (value != value)  # a NaN stays
        best = tl.where(higher, value, best)
        which = tl.where(higher, tap, which)
    best += tl.load(bias + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    if RELU:
        off = best <= 0
        best = tl.where(off, 0.0, best)
        which = tl.where(off, NONE, which)
    if DROPPED:
        byte = (h * OW + w)[:, None] * C + c[None, :]  # of the image's noise, in the order of memory
        place = n[:, None] * ((C * OH * OW + 7) // 8) + byte // 8
        noise = (_word(tl.load(key), place, GOLDEN, FIRST, SECOND) >> (byte % 8 * 8).to(tl.uint64)) & 255
        off = noise.to(tl.int32) < DROPPED
        best = tl.where(off, 0.0, best * scale)
        which = tl.where(off, NONE, which)
    at = m[:, None] * C + c[None, :]
    tl.store(out + at, best.to(out.dtype.element_ty), mask=inside)
    tl.store(index + at, which.to(tl.uint8), mask=inside)


def max_pool_forward(x: Tensor, bias: Tensor, key: Tensor, out: Tensor, index: Tensor, pooling: Pooling) -> None:
    """Fill `out` and `index` [N, OH, OW, C] from `x` [N, H, W, C]: pooled, plus `bias` [C], ReLU, dropout by `key` [].

    `index` is the place of the highest number in its window, counted along its rows, or `NONE`.
    """
    count, height, width, channels = x.shape
    tile = _tile(channels)
    rows = max(1, 2048 // tile)
    _max_pool_forward[(triton.cdiv(count * out.shape[1] * out.shape[2], rows),)](
        x, bias, key, out, index, count, pooling.scale, H=height, W=width, OH=out.shape[1], OW=out.shape[2], C=channels,
        KERNEL=pooling.kernel, STRIDE=pooling.stride, RELU=pooling.relu, DROPPED=pooling.dropped, NONE=NONE, BM=rows, BC=tile,
        GOLDEN=GOLDEN, FIRST=FIRST, SECOND=SECOND, num_warps=4,
    )  # fmt: skip


@triton.jit
def _max_pool_backward(
    gradient, index, out, COUNT, scale, H: tl.constexpr, W: tl.constexpr, OH: tl.constexpr, OW: tl.constexpr, C: tl.constexpr,
    KERNEL: tl.constexpr, STRIDE: tl.constexpr, BM: tl.constexpr, BC: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(0) * BM + tl.arange(0, BM)
    c = tl.arange(0, BC)
    n, h, w = m // (H * W), m // W % H, m % W
    inside = (m < COUNT * H * W)[:, None] & (c < C)[None, :]
    total = tl.zeros((BM, BC), tl.float32)
    reach: tl.constexpr = (KERNEL + STRIDE - 1) // STRIDE  # windows that hold one place, along each axis
    for back in tl.static_range(reach * reach):
        i, j = h // STRIDE - back // reach, w // STRIDE - back % reach
        y, z = h - i * STRIDE, w - j * STRIDE  # the place in window (i, j)
        fits = (i >= 0) & (j >= 0) & (i < OH) & (j < OW) & (y < KERNEL) & (z < KERNEL)
        seen = inside & fits[:, None]
        at = ((n * OH + i) * OW + j)[:, None] * C + c[None, :]
        which = tl.load(index + at, mask=seen, other=255).to(tl.int32)
        g = tl.load(gradient + at, mask=seen, other=0.0).to(tl.float32)
        total += tl.where(which == (y * KERNEL + z)[:, None], g, 0.0)
    tl.store(out + m[:, None] * C + c[None, :], (total * scale).to(out.dtype.element_ty), mask=inside)


def max_pool_backward(gradient: Tensor, index: Tensor, out: Tensor, pooling: Pooling) -> None:
    """Fill `out` [N, H, W, C] with the `gradient` [N, OH, OW, C] of each window, scaled, at the place that `index` names."""
    count, height, width, channels = out.shape
    tile = _tile(channels)
    rows = max(1, 2048 // tile)
    _max_pool_backward[(triton.cdiv(count * height * width, rows),)](
        gradient, index, out, count, pooling.scale, H=height, W=width, OH=gradient.shape[1], OW=gradient.shape[2], C=channels,
        KERNEL=pooling.kernel, STRIDE=pooling.stride, BM=rows, BC=tile, num_warps=4,
    )  # fmt: skip
