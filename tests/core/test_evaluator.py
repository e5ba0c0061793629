"""The evaluator where onnx's own stops, or is far from the truth."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from nin_onnx.evaluator import evaluator


def convolution(weight: NDArray[np.float16]) -> onnx.ModelProto:
    kind = TensorProto.FLOAT16
    node = helper.make_node("Conv", ["x", "weight"], ["y"])
    x, y = (helper.make_tensor_value_info(name, kind, ["batch", None, 1, 1]) for name in ("x", "y"))
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(weight, "weight")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_a_long_sum_in_half_precision_is_rounded_once() -> None:
    """NumPy alone stops at 2048: from there on, half precision has no odd numbers."""
    ones = np.ones((1, 4096, 1, 1), np.float16)
    (y,) = evaluator(convolution(ones)).run(None, {"x": ones})
    assert (np.asarray(y).dtype, np.asarray(y).item()) == (np.dtype(np.float16), 4096)


def quantized(opset: int) -> onnx.ModelProto:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y"))
    constants = [
        numpy_helper.from_array(np.array(0.5, np.float32), "scale"),
        numpy_helper.from_array(np.array(10, np.uint8), "zero"),
    ]
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("opset", [13, 18, 19, 21])
def test_quantized_graphs_of_old_opsets_are_evaluated_as_the_specification_says(opset: int) -> None:
    model = quantized(opset)
    before = model.SerializeToString()
    (y,) = evaluator(model).run(None, {"x": np.array([-100, -5, 0.25, 0.3, 0.75, 1000], np.float32)})
    assert np.asarray(y).tolist() == [-5, -5, 0, 0.5, 1, 122.5]  # halves go to the even number; 0 and 255 are the ends
    assert model.SerializeToString() == before


def test_any_other_graph_is_evaluated_by_onnx_alone() -> None:
    node = helper.make_node("Conv", ["x", "weight"], ["y"])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 5, 1, 1]) for name in ("x", "y"))
    random = np.random.default_rng(0)
    weight, images = random.normal(0, 1, (5, 5, 1, 1)).astype(np.float32), random.normal(0, 1, (3, 5, 1, 1)).astype(np.float32)
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(weight, "weight")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    (ours,), (theirs,) = (one.run(["y"], {"x": images}) for one in (evaluator(model), ReferenceEvaluator(model)))
    np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))
