"""ONNX's reference evaluator, for graphs in half precision and for quantized ones too."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nin_onnx.graph import opset

if TYPE_CHECKING:
    import onnx
    from onnx.reference import ReferenceEvaluator

__all__ = ["current", "evaluator"]

QUANTIZED = ("QuantizeLinear", "DequantizeLinear")
FIRST = 19
"""The oldest opset whose quantization the evaluator knows; what it means has not changed since opset 10."""


def current(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Return `model`, or if it is quantized and of an older opset, the same in one whose quantization the evaluator knows."""
    import onnx.version_converter

    if opset(model) < FIRST and any(node.op_type in QUANTIZED for node in model.graph.node):
        return onnx.version_converter.convert_version(model, FIRST)
    return model


def evaluator(model: "onnx.ModelProto", operators: Sequence[type[Any]] = ()) -> "ReferenceEvaluator":
    """Return an evaluator of `model`, every operator in NumPy as the specification words it.

    Half-precision convolutions are summed in float32 and rounded once, as processors do it that multiply in half precision:
    NumPy would round after every term, and take a hundred times as long. A quantized graph of an older opset is brought to
    one that the evaluator knows. `operators`: classes for operators that are not ONNX's own.
    """
    import onnx
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.ops.op_conv import Conv as Exact

    class Conv(Exact):
        def _run(self, x: Any, *others: Any, **attributes: Any) -> tuple[Any]:  # type: ignore[override] # its types name all
            wide = [array if array is None else array.astype("float32") for array in (x, *others)]
            (y,) = super()._run(*wide, **attributes)  # type: ignore[no-untyped-call] # it has none
            return (y.astype(x.dtype),)

    half = any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer)
    return ReferenceEvaluator(current(model), new_ops=[*operators, *[Conv] * half] or None)
