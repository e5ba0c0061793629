"""Finds the convolutions and matrix products of a graph whose two factors are 8-bit numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.eight_bits.qdq import FORMS, in_8_bits, inner_nodes
from nin_onnx.evaluator import FIRST
from nin_onnx.graph import PRODUCTS, attributes, opset

if TYPE_CHECKING:
    import onnx

__all__ = ["Factor", "Product", "not_judged", "products"]

REARRANGING = ("Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice", "MaxPool")
"""Operators that only rearrange or select numbers: ONNX Runtime moves DequantizeLinear behind them."""


@dataclass(frozen=True, eq=False)
class Factor:
    """One side of a product: integers, and how they become floats."""

    scale: str
    zero: str
    """Name of the zero point; empty for 0."""
    signed: bool
    values: NDArray[Any] | None
    """The integers as the product takes them; None if they are calculated."""


@dataclass(frozen=True, eq=False)
class Product:
    """A node that multiplies 8-bit numbers and adds."""

    node: "onnx.NodeProto"
    x: Factor
    w: Factor

    @property
    def name(self) -> str:
        """The node's name, or else its output's."""
        return str(self.node.name or self.node.output[0])

    @property
    def rows(self) -> NDArray[np.int64] | None:
        """The weights that are added up for an output: [outputs, terms]; None if they are calculated."""
        if self.w.values is None:
            return None
        w = self.w.values.astype(np.int64)
        settings = attributes(self.node)
        if self.node.op_type == "Conv" or settings.get("transB"):
            return w.reshape(len(w), -1)
        if self.node.op_type == "ConvTranspose":  # [channels, outputs of a group, ...]
            grouped = w.reshape(settings.get("group", 1), -1, *w.shape[1:])
            return np.moveaxis(grouped, 2, 1).reshape(grouped.shape[0] * grouped.shape[2], -1)
        return np.swapaxes(w, -1, -2).reshape(-1, w.shape[-2]) if w.ndim > 1 else w[None]

    @property
    def left_rows(self) -> NDArray[np.int64] | None:
        """The same of a matrix product's first factor; None if it is calculated, and for a convolution."""
        if self.x.values is None or self.node.op_type not in ("Gemm", "MatMul"):
            return None
        x = self.x.values.astype(np.int64)
        return x.T if attributes(self.node).get("transA") else x.reshape(-1, x.shape[-1])


def _kinds(model: "onnx.ModelProto") -> Mapping[str, int]:
    """Return the type of every value as far as it is known, by ONNX's numbers."""
    import onnx

    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except (RuntimeError, ValueError):  # too large to be serialized, or inconsistent: zero points tell the types too
        graph = model.graph
    return {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.value_info, *graph.output)}


def products(model: "onnx.ModelProto") -> list[Product]:
    """Return the products of 8-bit numbers in `model`, which `as_qdq` has rewritten, in its own order."""
    known = _Known(model)
    found = []
    for node in model.graph.node:
        if node.op_type in PRODUCTS and node.domain in ("", "ai.onnx"):
            x, w = known.factor(node.input[0]), known.factor(node.input[1])
            if x and w:
                found.append(Product(node, x, w))
    return found


def not_judged(model: "onnx.ModelProto") -> int:
    """Return how many nodes of `model`, if it is in 8 bits, may multiply such numbers and are not looked at by `products`."""
    return sum(node.op_type in (*FORMS, *PRODUCTS) for node in inner_nodes(model)) if in_8_bits(model) else 0


class _Known:
    """What a graph says of its values without being run."""

    def __init__(self, model: "onnx.ModelProto") -> None:
        graph = model.graph
        self.makers = {value: node for node in graph.node for value in node.output}
        self.tensors = {tensor.name: tensor for tensor in graph.initializer}
        self.constants: dict[str, NDArray[Any] | None] = {}
        self.opset = opset(model) or FIRST
        self.kinds: Mapping[str, int] = _kinds(model)

    def factor(self, name: str) -> Factor | None:
        """Return what DequantizeLinear made `name` of, if it was 8-bit numbers."""
        node, moves = self.makers.get(name), []
        while node is not None and node.op_type in REARRANGING:
            moves.append(node)
            node = self.makers.get(node.input[0])
        if node is None or node.op_type != "DequantizeLinear":
            return None
        source, scale, zero = [*node.input, ""][:3]
        values = self.constant(source)
        kind = self.kind(source) or self.kind(zero)
        if kind not in ("int8", "uint8"):
            return None
        for move in reversed(moves):
            values = None if values is None else self.rearranged(move, values)
        return Factor(scale, zero, kind == "int8", values)

    def kind(self, name: str) -> str | None:
        """Return the type of a value, by NumPy's name for it; None if it is not known."""
        from onnx import helper

        if (value := self.constant(name)) is not None:
            return str(value.dtype)
        maker = self.makers.get(name)
        if maker is not None and maker.op_type == "QuantizeLinear" and len(maker.input) > 2:
            return self.kind(maker.input[2])
        found = self.kinds.get(name)
        return helper.tensor_dtype_to_np_dtype(found).name if found else None

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return the value of what does not depend on the graph's inputs; None for what does, or cannot be calculated."""
        from onnx import numpy_helper

        if name not in self.constants:
            self.constants[name] = None
            node = self.makers.get(name)
            if name in self.tensors:
                self.constants[name] = numpy_helper.to_array(self.tensors[name])
            elif node is not None and node.op_type in (*REARRANGING, "Constant", "QuantizeLinear", "Cast"):
                given = {source: self.constant(source) for source in node.input if source}
                if all(value is not None for value in given.values()):
                    self.constants[name] = self.calculated(node, given)
        return self.constants[name]

    def rearranged(self, node: "onnx.NodeProto", values: NDArray[Any]) -> NDArray[Any] | None:
        """Return `values` as `node` arranges them."""
        others = {name: self.constant(name) for name in node.input[1:] if name}
        if any(value is None for value in others.values()):
            return None
        return self.calculated(node, {**others, node.input[0]: values})

    def calculated(self, node: "onnx.NodeProto", given: Mapping[str, NDArray[Any] | None]) -> NDArray[Any] | None:
        from onnx.reference import ReferenceEvaluator

        opset = max(self.opset, FIRST) if node.op_type == "QuantizeLinear" else self.opset
        try:
            (value,) = ReferenceEvaluator(node, opsets={"": opset}).run(None, dict(given))
        except Exception:  # a graph from elsewhere: what cannot be calculated is not known
            return None
        return np.asarray(value)
