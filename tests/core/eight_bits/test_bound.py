"""The bound, against every pairing spelled out; what ships stays within it, and whatever is planted is found."""

from itertools import combinations, product
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from quantized_graphs import LAYERS, qdq, shipped, widened

from nin_onnx import models
from nin_onnx.eight_bits import bounds
from nin_onnx.eight_bits.bound import pair_sums
from nin_onnx.eight_bits.products import not_judged


@given(arrays.arrays(np.int8, st.tuples(st.integers(1, 3), st.integers(1, 6))))
def test_it_is_the_extreme_of_all_pairs_and_activations(rows: NDArray[np.int8]) -> None:
    sums = [0]
    for row in rows.tolist():
        pairs = [*combinations(row, 2), *((weight, 0) for weight in row)]
        sums += [a * one + b * other for one, other in pairs for a, b in product((0, 255), repeat=2)]
    assert pair_sums(rows.astype(np.int64)) == (min(sums), max(sums))


@given(arrays.arrays(np.int8, (2, 8), elements=st.integers(-64, 64)))
def test_weights_of_7_bits_never_leave_16_bits(rows: NDArray[np.int8]) -> None:
    lowest, highest = pair_sums(rows.astype(np.int64))
    assert -32768 <= lowest <= highest <= 32767


@pytest.mark.parametrize("name", models.shipped())
def test_the_shipped_models_cannot_saturate(name: str) -> None:
    found = bounds(shipped(name))
    assert [one.layer for one in found] == list(LAYERS)
    assert not any(one.could_saturate for one in found)
    assert max(one.highest for one in found) > 30_000  # nearly all of the range is used


@pytest.mark.parametrize("name", models.shipped())
def test_with_weights_of_8_bits_every_layer_of_them_could(name: str) -> None:
    assert all(one.could_saturate for one in bounds(widened(name)))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", models.shipped())
def test_a_single_pair_that_saturates_is_found_in_whatever_layer(name: str, layer: str, sign: int) -> None:
    graph = shipped(name)
    tensor = next(one for one in graph.graph.initializer if one.name == f"{layer}.weight_quantized")
    weights = numpy_helper.to_array(tensor).copy()
    channel = weights[-1].reshape(-1)
    channel[:] = 0
    channel[0], channel[-1] = 65 * sign, 65 * sign  # as far apart as they can be
    tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    (found,) = (one for one in bounds(graph) if one.could_saturate)
    assert (found.layer, found.furthest) == (layer, 2 * 255 * 65 * sign)
    assert str(found) == f"'{layer}' (Conv), with a pair sum of {found.furthest:,}"


def test_weights_of_one_output_are_paired_and_no_others() -> None:
    w = np.zeros((2, 2, 1, 1), np.int8)
    w[0, 0], w[1, 0] = 100, 100
    (found,) = bounds(qdq("Conv", w, rank=4))
    assert (found.lowest, found.highest) == (0, 25_500)
    w[1, 1] = 100
    assert bounds(qdq("Conv", w, rank=4))[0].highest == 51_000


@pytest.mark.parametrize(("operator", "axis", "settings"), [("MatMul", 1, {}), ("Gemm", 1, {}), ("Gemm", 0, {"transB": 1})])
def test_the_outputs_of_a_matrix_product_are_its_columns(operator: str, axis: int, settings: dict[str, Any]) -> None:
    w = np.zeros((3, 3), np.int8)
    w[0, 0] = 100
    w[1 - axis, axis] = 100  # another output
    assert bounds(qdq(operator, w, rank=2, axis=axis, **settings))[0].highest == 25_500
    w[axis, 1 - axis] = 100  # the same one
    assert bounds(qdq(operator, w, rank=2, axis=axis, **settings))[0].highest == 51_000


def test_a_transposed_convolution_adds_over_its_first_axis() -> None:
    w = np.zeros((3, 2, 1, 1), np.int8)
    w[0, 0], w[0, 1] = 100, 100
    assert bounds(qdq("ConvTranspose", w, rank=4, axis=1))[0].highest == 25_500
    w[2, 1] = 100
    assert bounds(qdq("ConvTranspose", w, rank=4, axis=1))[0].highest == 51_000


@pytest.mark.parametrize(("kind", "saturates"), [(np.uint8, False), (np.int8, True)])
def test_of_unsigned_weights_only_signed_activations_could_saturate(kind: type, *, saturates: bool) -> None:
    graph = qdq("Conv", np.full((1, 4, 1, 1), 127, np.int8), rank=4, kind=kind)
    assert bounds(graph)[0].could_saturate
    for tensor in graph.graph.initializer:
        if tensor.name in ("w", "wz"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.uint8), tensor.name))
    (found,) = bounds(graph)
    assert found.could_saturate is saturates


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("operator", ["MatMul", "Gemm"])
def test_weights_may_be_the_first_factor(operator: str, kind: type) -> None:
    w = np.array([[100, 100, 0], [0, 0, 100]], np.int8)
    graph = qdq(operator, w, rank=2, kind=kind, **{"transA": 1} if operator == "Gemm" else {})
    (node,) = (one for one in graph.graph.node if one.name == "layer")
    node.input[0], node.input[1] = node.input[1], node.input[0]
    # the rows of MatMul's first factor, the columns of Gemm's transposed one; signed activations are weights too
    highest = 64_770 if kind is np.int8 else {"MatMul": 51_000, "Gemm": 25_500}[operator]
    assert bounds(graph)[0].highest == highest


def test_weights_that_are_calculated_could_be_anything() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("MatMul", ["d", "d"], ["y"], name="attention"),
    ]
    value = helper.make_tensor_value_info
    constants = [numpy_helper.from_array(np.array(1, np.float32), "s"), numpy_helper.from_array(np.array(0, np.int8), "z")]
    graph = helper.make_graph(nodes, "g", [value("x", 1, [4, 4])], [value("y", 1, [4, 4])], constants)
    (found,) = bounds(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
    assert (found.layer, found.lowest, found.highest) == ("attention", -65_280, 64_770)


def test_weights_that_are_quantized_moved_or_stored_in_nodes_are_found() -> None:
    w = np.array([[100, 0], [100, 0]], np.float32)  # its first column is one output
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(w.T.copy(), "w")),
        helper.make_node("QuantizeLinear", ["w", "s", "wz"], ["wq"]),
        helper.make_node("DequantizeLinear", ["wq", "s", "wz"], ["wd"]),
        helper.make_node("Transpose", ["wd"], ["wt"], perm=[1, 0]),
        helper.make_node("MatMul", ["xd", "wt"], ["y"], name="late"),
    ]
    value = helper.make_tensor_value_info
    constants = [np.float32(1), np.uint8(0), np.int8(0)]
    tensors = [numpy_helper.from_array(np.asarray(one), name) for one, name in zip(constants, ("s", "z", "wz"), strict=True)]
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, ["n", 2])], [value("y", TensorProto.FLOAT, ["n", 2])], tensors
    )
    (found,) = bounds(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
    assert (found.layer, found.highest) == ("late", 51_000)


@pytest.mark.parametrize("operator", ["MaxPool", "Slice"])
def test_numbers_that_are_selected_are_multiplied_in_8_bits_too(operator: str) -> None:
    graph = qdq("Conv", np.full((1, 2, 1, 1), 127, np.int8), rank=4)
    (conv,) = (node for node in graph.graph.node if node.op_type == "Conv")
    settings: dict[str, Any] = {"kernel_shape": [2, 2]} if operator == "MaxPool" else {}
    bounds_of = [] if operator == "MaxPool" else ["from", "to"]
    graph.graph.initializer.extend(numpy_helper.from_array(np.array([at] * 4), name) for at, name in ((0, "from"), (2, "to")))
    graph.graph.node.insert(2, helper.make_node(operator, [conv.input[0], *bounds_of], ["selected"], **settings))
    conv = graph.graph.node[-1]
    conv.input[0] = "selected"
    (found,) = bounds(graph)
    assert found.highest == 64_770


def test_nodes_in_subgraphs_and_functions_are_counted_but_not_judged() -> None:
    graph = qdq("Conv", np.full((1, 2, 1, 1), 1, np.int8), rank=4)
    assert not_judged(graph) == 0
    branch = helper.make_graph([helper.make_node("MatMulInteger", ["a", "b"], ["c"])], "b", [], [])
    nested = helper.make_graph([helper.make_node("If", ["which"], ["c"], then_branch=branch, else_branch=branch)], "n", [], [])
    graph.graph.node.append(helper.make_node("If", ["which"], ["c"], then_branch=nested, else_branch=branch))
    inner = [helper.make_node("MatMul", ["a", "b"], ["c"]), helper.make_node("Relu", ["c"], ["d"])]
    graph.functions.append(helper.make_function("own", "F", ["a", "b"], ["d"], inner, [helper.make_opsetid("", 18)]))
    assert not_judged(graph) == 4
    assert len(bounds(graph)) == 1


def test_a_graph_in_float32_has_no_bounds() -> None:
    assert bounds(onnx.load(models.FOLDER / "nin-digits" / "model.onnx")) == ()
