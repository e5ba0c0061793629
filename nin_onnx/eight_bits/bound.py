"""Bounds the sums of two products that x86 processors without VNNI keep in 16 bits, for whatever activations.

Their instruction `vpmaddubsw` multiplies unsigned by signed 8-bit numbers, adds two neighboring products, and what does not
fit into 16 bits becomes the largest or smallest number that does. Kernels differ in which weights they pair, so any two of an
output channel count. Signed activations become unsigned by adding 128. A kernel may swap the factors, so whichever is signed
counts as the weights; of two unsigned ones the products are added in other ways.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nin_onnx.eight_bits.products import Product, products
from nin_onnx.eight_bits.qdq import as_qdq, in_8_bits

if TYPE_CHECKING:
    import onnx

__all__ = ["HIGHEST", "LARGEST_ACTIVATION", "LOWEST", "Bound", "bounds", "furthest", "pair_sums"]

LARGEST_ACTIVATION = 255
LOWEST, HIGHEST = -32_768, 32_767
"""The smallest and the largest number of 16 bits."""
ANY = np.array([[-128, -128, 127, 127]])
"""Stands for weights that are not known."""


@dataclass(frozen=True)
class Bound:
    """The extreme pair sums of one layer."""

    layer: str
    operator: str
    lowest: int
    highest: int

    @property
    def could_saturate(self) -> bool:
        """Whether there are activations for which a pair sum leaves 16 bits."""
        return self.beyond > 0

    @property
    def beyond(self) -> int:
        """By how much the further of the two leaves 16 bits; below 0 if both are within."""
        return max(self.highest - HIGHEST, LOWEST - self.lowest)

    @property
    def furthest(self) -> int:
        """Of the two extremes the one that is nearer to the end of 16 bits, or further beyond it."""
        return self.highest if self.highest - HIGHEST == self.beyond else self.lowest

    def __str__(self) -> str:
        return f"'{self.layer}' ({self.operator}), with a pair sum of {self.furthest:,}"


def bounds(model: "onnx.ModelProto") -> tuple[Bound, ...]:
    """Return the bound of every product of 8-bit numbers in `model`; none for a graph without any."""
    return tuple(_bound(product) for product in products(as_qdq(model))) if in_8_bits(model) else ()


def furthest(found: Iterable[Bound]) -> Bound:
    """Return the bound that is furthest beyond 16 bits."""
    return max(found, key=lambda one: one.beyond)


def _bound(product: Product) -> Bound:
    x, w = product.x, product.w
    weights = [product.rows] * w.signed
    if x.signed and (x.values is not None or not w.signed):  # else these are activations
        weights.append(product.left_rows)
    extremes = [pair_sums(ANY if rows is None else rows) for rows in weights] or [(0, 0)]
    lowest, highest = min(low for low, _ in extremes), max(high for _, high in extremes)
    return Bound(product.name, product.node.op_type, lowest, highest)


def pair_sums(rows: NDArray[np.int64]) -> tuple[int, int]:
    """Return the lowest and the highest sum of two products that weights [outputs, terms] allow.

    An activation may be 0, so a weight that would make the sum less extreme counts as 0.
    """
    ordered = np.sort(rows, axis=1)
    lowest = np.minimum(ordered[:, :2], 0).sum(1).min(initial=0)
    highest = np.maximum(ordered[:, -2:], 0).sum(1).max(initial=0)
    return int(lowest) * LARGEST_ACTIVATION, int(highest) * LARGEST_ACTIVATION
