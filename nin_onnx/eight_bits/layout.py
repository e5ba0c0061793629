"""Lays out the factors of a product as matrices, in the order in which ONNX Runtime's kernels add them up.

For a convolution that is row by row of the window, and in each of its places channel by channel.
"""

from collections.abc import Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from nin_onnx.graph import attributes

if TYPE_CHECKING:
    import onnx

__all__ = ["matrices"]

AT_ONCE = 2**24
"""How many factors are laid out at a time: 128 MB of float64."""
Matrices = tuple[NDArray[np.uint8], NDArray[np.int8]]


def matrices(node: "onnx.NodeProto", x: NDArray[np.uint8], w: NDArray[np.int8], zero: int) -> Iterator[list[Matrices]]:
    """Yield the factors of some images at a time: for each group [..., terms] and [terms, outputs].

    `zero`: what stands for 0 in `x`, and what a convolution adds at the edges.
    """
    settings = attributes(node)
    if node.op_type != "Conv":
        yield [(x.T if settings.get("transA") else x, w.T if settings.get("transB") else w)]
        return
    groups, window = settings.get("group", 1), w.shape[2:]
    filters = np.moveaxis(w, 1, -1).reshape(groups, len(w) // groups, -1)  # [groups, outputs, places × channels]
    padded = np.pad(x, [(0, 0), (0, 0), *_pads(settings, x.shape[2:], window)], constant_values=zero)
    views = _windows(padded, window, settings)  # [N, channels, *output, *window]
    images = max(1, AT_ONCE // max(1, prod(views.shape[1:])))
    for first in range(0, len(x), images):
        found = np.moveaxis(views[first : first + images], 1, -1)  # [N, *output, *window, channels]
        parts = np.split(found, groups, axis=-1)
        yield [
            (part.reshape(*part.shape[: 1 + len(window)], -1), weights.T) for part, weights in zip(parts, filters, strict=True)
        ]


def _windows(padded: NDArray[np.uint8], window: tuple[int, ...], settings: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Return what the filters see, strided and dilated."""
    sides = len(window)
    strides, dilations = (settings.get(name) or [1] * sides for name in ("strides", "dilations"))
    reach = tuple((side - 1) * step + 1 for side, step in zip(window, dilations, strict=True))
    views = sliding_window_view(padded, reach, axis=tuple(range(2, 2 + sides)))
    steps = [slice(None, None, step) for step in (*strides, *dilations)]
    found: NDArray[np.uint8] = views[(slice(None), slice(None), *steps)]
    return found


def _pads(settings: Mapping[str, Any], sides: tuple[int, ...], window: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return what is added before and after each side."""
    automatic = settings.get("auto_pad", b"NOTSET").decode()
    if automatic in ("NOTSET", "VALID"):
        pads = settings.get("pads") if automatic == "NOTSET" else None
        pads = list(pads or [0] * 2 * len(sides))
        return list(zip(pads[: len(sides)], pads[len(sides) :], strict=True))
    found = []
    strides, dilations = (settings.get(name) or [1] * len(sides) for name in ("strides", "dilations"))
    for side, length, stride, dilation in zip(sides, window, strides, dilations, strict=True):
        missing = max(0, (-(-side // stride) - 1) * stride + (length - 1) * dilation + 1 - side)
        less, more = missing // 2, missing - missing // 2
        found.append((less, more) if automatic == "SAME_UPPER" else (more, less))
    return found
