"""Runs a graph in NumPy as an x86 processor without VNNI does: products of 8-bit numbers in pairs whose sums stop at 16 bits."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.eight_bits.layout import matrices
from nin_onnx.eight_bits.products import Product, products
from nin_onnx.eight_bits.qdq import as_qdq
from nin_onnx.eight_bits.saturating import exact, excess
from nin_onnx.evaluator import current, evaluator
from nin_onnx.graph import attributes, replace_all

if TYPE_CHECKING:
    import onnx

__all__ = ["Emulator"]

DOMAIN, OPERATOR = "nin_onnx.eight_bits", "Product"
EMULATED = ("Conv", "Gemm", "MatMul")


class Emulator:
    """One graph; `layers` names the products that are emulated.

    Others stay exact: those of unsigned weights, which do not saturate, and those of weights that are calculated or batched,
    and transposed convolutions, of which nothing is known. ConvInteger is taken for a convolution like others, though ONNX
    Runtime has its weights as the first factor: of it the emulation says what may happen elsewhere.
    """

    def __init__(self, model: "onnx.ModelProto", *, saturating: bool = True) -> None:
        self.moved: dict[str, float] = {}
        """For each layer: by how much saturation moved its outputs in the last run, the largest over the largest exact output."""
        self._saturating = saturating
        prepared = as_qdq(current(model))
        found = [one for one in products(prepared) if _emulated(one)]
        self.layers = tuple(one.name for one in found)
        self._products = {one.node.output[0]: one for one in found}
        replace_all(prepared.graph.node, [self._marked(node) for node in prepared.graph.node])
        prepared.opset_import.add(domain=DOMAIN, version=1)
        self._evaluator = evaluator(prepared, [self._operator()])

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the graph's outputs by name."""
        values: Any = self._evaluator.run(None, dict(feeds))
        return dict(zip(self._evaluator.output_names, values, strict=True))

    def _marked(self, node: "onnx.NodeProto") -> "onnx.NodeProto":
        """Return `node`, or what stands for a product: its inputs, then scales and zero points."""
        from onnx import helper

        product = self._products.get(node.output[0]) if node.output else None
        if product is None:
            return node
        given = [*node.input, ""][:3]
        forms = [product.x.scale, product.x.zero, product.w.scale, product.w.zero]
        return helper.make_node(OPERATOR, [*given, *forms], node.output, domain=DOMAIN)

    def _operator(self) -> type[Any]:
        from onnx.reference.op_run import OpRun

        def run(operator: Any, x: Any, w: Any, bias: Any, x_scale: Any, x_zero: Any, w_scale: Any, w_zero: Any) -> tuple[Any]:
            del w  # as floats, the integers are known
            product = self._products[operator.onnx_node.output[0]]
            right, moved = self._multiply(product, x, (_number(x_scale), _number(x_zero)), _vector(w_zero))
            scale = _number(x_scale) * _vector(w_scale)  # of each output
            right, moved = right * scale, moved * scale
            self.moved[product.name] = float(np.abs(moved).max(initial=0)) / (float(np.abs(right).max(initial=0)) or 1.0)
            return (_finished(product, right + moved, bias).astype(x.dtype),)

        return type(OPERATOR, (OpRun,), {"op_domain": DOMAIN, "_run": run})

    def _multiply(
        self, product: Product, x: NDArray[Any], form: tuple[float, float], w_zero: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the sums [..., outputs] of whole numbers, and what saturation adds to them; `x` has scale and zero of `form`."""
        assert product.w.values is not None
        zero = int(form[1]) + (128 if product.x.signed else 0)  # kernels make signed activations unsigned
        integers = np.clip(np.rint(x / np.float32(form[0])) + zero, 0, 255).astype(np.uint8)  # what `x` was made of
        rights, moves = [], []
        for groups in matrices(product.node, integers, product.w.values, zero):
            shape = groups[0][0].shape[:-1]
            flat = [(columns.reshape(-1, columns.shape[-1]), weights) for columns, weights in groups]
            zeros = np.split(np.broadcast_to(w_zero, sum(weights.shape[1] for _, weights in flat)), len(flat))
            centered = [weights - own for (_, weights), own in zip(flat, zeros, strict=True)]
            sums = [exact(columns, one) - zero * one.sum(0) for (columns, _), one in zip(flat, centered, strict=True)]
            rights.append(np.concatenate(sums, 1).reshape(*shape, -1))
            if self._saturating and not _depthwise(product):
                moves.append(np.concatenate([excess(*pair) for pair in flat], 1).reshape(*shape, -1))
        right = np.concatenate(rights)
        return right, np.concatenate(moves) if moves else np.zeros(())


def _emulated(product: Product) -> bool:
    """Return whether the emulator knows this kind of product."""
    weights = product.w.values
    if weights is None or not product.w.signed or product.node.op_type not in EMULATED:
        return False
    return product.node.op_type == "Conv" or weights.ndim == 2


def _depthwise(product: Product) -> bool:
    """Return whether each output channel has one input channel of its own: kernels for these widen before they multiply."""
    w = product.w.values
    groups = attributes(product.node).get("group", 1)
    return product.node.op_type == "Conv" and w is not None and 1 < groups == len(w) and w.shape[1] == 1


def _finished(product: Product, sums: NDArray[np.float64], bias: NDArray[Any] | None) -> NDArray[np.float64]:
    """Return the operator's output of its sums [..., outputs]."""
    found: NDArray[np.float64] = sums
    if product.node.op_type == "Gemm":
        settings = attributes(product.node)
        found = sums * settings.get("alpha", 1.0)
        bias = bias if bias is None else bias * settings.get("beta", 1.0)
    if bias is not None:
        found = found + bias
    return np.moveaxis(found, -1, 1) if product.node.op_type == "Conv" else found


def _number(value: NDArray[Any] | None) -> float:
    """Return a scale or zero point of activations; raises `ValueError` for one in each row, which no kernel has."""
    return 0.0 if value is None else float(np.asarray(value).item())


def _vector(value: NDArray[Any] | None) -> NDArray[np.float64]:
    return np.zeros(1) if value is None else np.ravel(value).astype(np.float64)
