"""The product of 8-bit matrices as x86 processors without VNNI compute it, in NumPy: exact, less what saturation takes.

`vpmaddubsw` adds neighboring products two by two, and a sum beyond 16 bits becomes the largest or smallest number in them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.eight_bits.bound import HIGHEST, LOWEST

__all__ = ["exact", "excess"]


def exact(x: NDArray[np.uint8], w: NDArray[Any]) -> NDArray[np.float64]:
    """Return `x` [rows, terms] times `w` [terms, outputs]: whole numbers, which float64 holds up to 2^53."""
    product: NDArray[np.float64] = x.astype(np.float64) @ w.astype(np.float64)
    return product


def excess(x: NDArray[np.uint8], w: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return what saturation adds to the product of `x` [rows, terms] and `w` [terms, outputs], mostly zeros.

    Only pairs whose sum the largest `x` of each term could take beyond 16 bits are looked at.
    """
    if w.shape[0] % 2:  # the last term has no neighbor
        x, w = np.pad(x, ((0, 0), (0, 1))), np.pad(w, ((0, 1), (0, 0)))
    largest = x.max(0, initial=0).astype(np.int64)[:, None]
    highest = (largest * np.maximum(w, 0)).reshape(-1, 2, w.shape[1]).sum(1)
    lowest = (largest * np.minimum(w, 0)).reshape(-1, 2, w.shape[1]).sum(1)
    suspects = (highest > HIGHEST) | (lowest < LOWEST)  # [pairs, outputs]
    moved = np.zeros((len(x), w.shape[1]), np.int64)
    for pair in np.flatnonzero(suspects.any(1)):
        outputs = np.flatnonzero(suspects[pair])
        terms = slice(2 * pair, 2 * pair + 2)
        sums = x[:, terms].astype(np.int64) @ w[terms, outputs].astype(np.int64)
        moved[:, outputs] += np.clip(sums, LOWEST, HIGHEST) - sums
    return moved
