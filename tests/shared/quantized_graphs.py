"""Graphs that multiply 8-bit numbers, small and shipped, and the instruction that saturates, for tests of all folders."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nin_onnx import models

LAYERS = ("conv1", "cccp1", "cccp2", "conv2", "cccp3", "cccp4", "conv3", "cccp5")
"""Of a shipped model those that are in 8 bits."""


def model(
    nodes: Sequence[onnx.NodeProto],
    x: tuple[int, Sequence[Any]],
    constants: Mapping[str, Any],
    y: int = TensorProto.FLOAT,
) -> onnx.ModelProto:
    """The graph of `nodes` from `x`, a type and a shape, to `y`."""
    kind, shape = x
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", y, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    sets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


def qdq(
    operator: str, w: NDArray[np.int8], *, rank: int, axis: int = 0, kind: type = np.uint8, **settings: Any
) -> onnx.ModelProto:
    """`operator` between DequantizeLinear, with a scale for each output and a bias where the operator has one."""
    outputs = w.shape[axis]
    make = helper.make_node
    bias = ["bias"] * (operator != "MatMul")
    nodes = [
        make("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        make("DequantizeLinear", ["xq", "xs", "xz"], ["xd"]),
        make("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=axis),
        make(operator, ["xd", "wd", *bias], ["y"], name="layer", **settings),
    ]
    constants = {
        "xs": np.float32(1),
        "xz": np.array(3, kind),
        "w": w,
        "ws": np.linspace(0.5, 1, outputs, dtype=np.float32),
        "wz": weight_zeros(outputs),
        "bias": np.arange(outputs, dtype=np.float32),
    }
    if not bias:
        del constants["bias"]
    return model(nodes, (TensorProto.FLOAT, ["n"] * rank), constants)


def weight_zeros(outputs: int) -> NDArray[np.int8]:
    """What `qdq` gives the weights of each output for 0."""
    return np.resize(np.array([1, -2, 0], np.int8), outputs)


def shipped(name: str) -> onnx.ModelProto:
    """A shipped model in 8 bits."""
    return onnx.load(models.FOLDER / name / "int8" / "model.onnx")


def widened(name: str) -> onnx.ModelProto:
    """The same with weights in all 8 bits: twice as large, in scales half as large. So it was before weights had 7 bits."""
    found = shipped(name)
    for tensor in found.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if tensor.name.endswith(".weight_quantized"):
            value = np.clip(value.astype(int) * 2, -127, 127).astype(np.int8)
        elif tensor.name.endswith(".bias_quantized"):
            value = value * 2  # whose scale is that of the products
        elif tensor.name.endswith((".weight_scale", ".bias_quantized_scale")):
            value = value / 2
        tensor.CopyFrom(
            numpy_helper.from_array(np.asarray(value, helper.tensor_dtype_to_np_dtype(tensor.data_type)), tensor.name)
        )
    return found


def vpmaddubsw(x: NDArray[np.uint8], w: NDArray[np.int8]) -> list[list[int]]:
    """Products of pairs, added in 16 bits that saturate; the sums of these in 32 bits."""

    def dot(row: list[int], column: list[int]) -> int:
        terms = [a * b for a, b in zip(row, column, strict=True)]
        pairs = [sum(terms[at : at + 2]) for at in range(0, len(terms), 2)]
        return sum(max(-32768, min(32767, pair)) for pair in pairs)

    return [[dot(row, column) for column in w.T.tolist()] for row in x.tolist()]
