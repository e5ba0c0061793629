"""Bounds the sums of two products that x86 processors without VNNI keep in 16 bits, for whatever activations.

Their instruction `vpmaddubsw` multiplies unsigned by signed 8-bit numbers, adds two neighbouring products, and what does not
fit into 16 bits becomes the largest or smallest number that does. Kernels differ in which weights they pair, so any two of an
output channel count. Signed activations become unsigned by adding 128. Unsigned weights are multiplied in other ways.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nin_onnx.eight_bits.products import Product, products
from nin_onnx.eight_bits.qdq import as_qdq, in_8_bits

if TYPE_CHECKING:
    import onnx

__all__ = ["HIGHEST", "LARGEST_ACTIVATION", "LOWEST", "Bound", "bounds", "pair_sums"]

LARGEST_ACTIVATION = 255
LOWEST, HIGHEST = -32_768, 32_767
"""What 16 bits hold."""


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
        return self.lowest < LOWEST or self.highest > HIGHEST

    @property
    def furthest(self) -> int:
        """Of the two extremes the one that is nearer to the end of 16 bits, or further beyond it."""
        return self.highest if self.highest - HIGHEST >= LOWEST - self.lowest else self.lowest

    def __str__(self) -> str:
        return f"'{self.layer}' ({self.operator}), pair sums up to {self.furthest:,}"


def bounds(model: "onnx.ModelProto") -> tuple[Bound, ...]:
    """Return the bound of every product of 8-bit numbers in `model`; none for a graph without any."""
    return tuple(_bound(product) for product in products(as_qdq(model))) if in_8_bits(model) else ()


def _bound(product: Product) -> Bound:
    lowest, highest = 0, 0
    if product.w.signed:
        rows = product.rows
        lowest, highest = pair_sums(rows) if rows is not None else pair_sums(np.array([[-128, -128, 127, 127]]))
    return Bound(product.name, product.node.op_type, lowest, highest)


def pair_sums(rows: NDArray[np.int64]) -> tuple[int, int]:
    """Return the lowest and the highest sum of two products that weights [outputs, terms] allow.

    An activation may be 0, so a weight that would make the sum less extreme counts as 0.
    """
    ordered = np.sort(rows, axis=1)
    lowest = np.minimum(ordered[:, :2], 0).sum(1).min(initial=0)
    highest = np.maximum(ordered[:, -2:], 0).sum(1).max(initial=0)
    return int(lowest) * LARGEST_ACTIVATION, int(highest) * LARGEST_ACTIVATION
