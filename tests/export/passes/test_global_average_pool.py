"""The pass, on graphs made by hand: what it replaces, and what it does not touch."""

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from nin_onnx.export.passes.global_average_pool import global_average_pool
from nin_onnx.graph import copied


def mean(axes: list[int], shape: list[int | str], keepdims: int | None = 0, opset: int = 18) -> onnx.ModelProto:
    """x of `shape` → Relu → ReduceMean over `axes` → y."""
    rank = len(shape) if keepdims != 0 else len(shape) - len(axes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * rank)
    node = helper.make_node("ReduceMean", ["maps"], ["y"])
    constants = []
    if keepdims is not None:
        node.attribute.append(helper.make_attribute("keepdims", keepdims))
    if opset < 18:
        node.attribute.append(helper.make_attribute("axes", axes))
    else:
        node.input.append("axes")
        constants.append(numpy_helper.from_array(np.array(axes, np.int64), "axes"))
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["maps"]), node], "mean", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    onnx.checker.check_model(model, full_check=True)
    return model


def answer(model: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[Any]:
    """What the reference evaluator gives for `x`."""
    (y,) = ReferenceEvaluator(model).run(None, {"x": x})
    assert isinstance(y, np.ndarray)
    return y


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("axes", [[2, 3], [3, 2], [-2, -1], [-1, -2], [2, -1]])
def test_a_mean_over_height_and_width_becomes_a_pool_with_the_same_answers(axes: list[int]) -> None:
    before = mean(axes, ["batch", 3, 5, 4])
    after, changed = global_average_pool(before)
    assert changed
    assert operators(after) == ["Relu", "GlobalAveragePool", "Flatten"]
    assert len(after.graph.initializer) == 0  # the axes have no reader left
    onnx.checker.check_model(after, full_check=True)
    for batch in (1, 7):
        x = np.random.default_rng(batch).normal(size=(batch, 3, 5, 4)).astype(np.float32)
        expected = np.maximum(x, 0).astype(np.float64).mean((2, 3))
        np.testing.assert_allclose(answer(after, x), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(mean([2, 3], ["batch", 3, 5, 4], keepdims=1), id="keepdims=1"),
        pytest.param(mean([2, 3], ["batch", 3, 5, 4], keepdims=None), id="keepdims by default"),
        pytest.param(mean([1, 2], ["batch", 3, 5, 4]), id="axes 1 and 2"),
        pytest.param(mean([2], ["batch", 3, 5, 4]), id="height only"),
        pytest.param(mean([1, 2, 3], ["batch", 3, 5, 4]), id="all but the batch"),
        pytest.param(mean([-2, -1], ["batch", 5, 4]), id="rank 3"),
        pytest.param(mean([2, 3], ["batch", 3, 5, 4, 2]), id="rank 5"),
        pytest.param(mean([2, 3], ["batch", 3, 5, 4], opset=13), id="axes as an attribute"),
    ],
)
def test_any_other_mean_is_left_alone(model: onnx.ModelProto) -> None:
    assert global_average_pool(copied(model)) == (model, False)


@given(
    axes=st.lists(st.integers(-4, 3), min_size=1, max_size=4, unique_by=lambda axis: axis % 4), keepdims=st.sampled_from([0, 1])
)
def test_whatever_the_axes_the_answers_stay(axes: list[int], keepdims: int) -> None:
    after, _ = global_average_pool(mean(axes, [2, 3, 5, 4], keepdims))
    x = np.random.default_rng(0).random((2, 3, 5, 4), np.float32)
    expected = x.astype(np.float64).mean(tuple(axes), keepdims=bool(keepdims))
    np.testing.assert_allclose(answer(after, x), expected, rtol=1e-5)


def test_a_mean_of_a_value_of_unknown_shape_is_left_alone() -> None:
    model = mean([2, 3], ["batch", 3, 5, 4])
    model.graph.input[0].type.tensor_type.ClearField("shape")
    assert global_average_pool(copied(model)) == (model, False)


def test_axes_that_someone_else_reads_stay() -> None:
    model = mean([2, 3], ["batch", 3, 5, 4])
    model.graph.node.append(helper.make_node("ReduceMax", ["maps", "axes"], ["highest"]))
    model.graph.output.append(helper.make_tensor_value_info("highest", TensorProto.FLOAT, [None] * 4))
    after, _ = global_average_pool(model)
    assert operators(after) == ["Relu", "GlobalAveragePool", "Flatten", "ReduceMax"]
    onnx.checker.check_model(after, full_check=True)


def test_a_weight_that_nothing_reads_is_not_this_pass_s_business() -> None:
    model = mean([1, 2], ["batch", 3, 5, 4])
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "unused"))
    assert global_average_pool(copied(model)) == (model, False)
