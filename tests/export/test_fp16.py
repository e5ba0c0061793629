"""The fp16 variant: what is in half precision, what is not, and what it answers."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nin_onnx.errors import ExportError
from nin_onnx.evaluator import evaluator
from nin_onnx.export.fp16 import convert_to_fp16
from nin_onnx.golden import Golden

STEPS = ("scale", "standardize")


def types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    known = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in known}


def test_the_network_is_in_half_precision_and_interface_and_preprocessing_are_not(model: onnx.ModelProto) -> None:
    halved = convert_to_fp16(model, STEPS)
    onnx.checker.check_model(halved, full_check=True)
    found = types(halved)
    assert [found[name] for name in ("images", "logits", "probabilities", "class_maps")] == [
        TensorProto.UINT8,
        *[TensorProto.FLOAT] * 3,
    ]
    assert {found[name] for name in ("cast", "scale", "standardize")} == {TensorProto.FLOAT}
    between = {value for node in halved.graph.node if node.op_type in ("Conv", "Relu", "MaxPool") for value in node.output}
    assert {found[name] for name in between} == {TensorProto.FLOAT16}
    weights = {tensor.name: tensor.data_type for tensor in halved.graph.initializer}
    assert {kind for name, kind in weights.items() if name.startswith(("conv", "cccp"))} == {TensorProto.FLOAT16}
    assert {kind for name, kind in weights.items() if name.startswith(STEPS)} == {TensorProto.FLOAT}


def test_only_casts_are_added_and_the_given_model_stays_as_it_is(model: onnx.ModelProto) -> None:
    before = model.SerializeToString(deterministic=True)
    halved = convert_to_fp16(model, STEPS)
    assert model.SerializeToString(deterministic=True) == before
    names = [node.name for node in model.graph.node]
    assert [node.name for node in halved.graph.node if node.name in names] == names
    assert {node.op_type for node in halved.graph.node if node.name not in names} == {"Cast"}


def test_the_answers_are_those_in_float64_but_for_half_precisions_rounding(model: onnx.ModelProto, golden: Golden) -> None:
    found = evaluator(convert_to_fp16(model, STEPS)).run(None, {"images": golden.images})
    for array, (name, expected) in zip(found, golden.outputs.items(), strict=True):
        assert 0 < np.abs(np.asarray(array) - expected).max() / golden.scale(name) < 5e-3


def test_sums_of_pixels_beyond_half_precision_do_not_overflow() -> None:
    """3,072 white pixels sum up to 783,360; half precision ends at 65,504."""
    nodes = [
        helper.make_node("Cast", ["images"], ["cast"], "cast", to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["cast", "axes"], ["sum"], "gcn", keepdims=1),
        helper.make_node("Div", ["sum", "gcn.values"], ["mean"], "gcn_2"),
        helper.make_node("Conv", ["mean", "conv1.weight"], ["logits"], "conv1"),
    ]
    weights = [
        numpy_helper.from_array(np.array([1, 2, 3]), "axes"),
        numpy_helper.from_array(np.array(3072, np.float32), "gcn.values"),
        numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "conv1.weight"),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 3, 32, 32])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1, 1, 1])
    graph = helper.make_graph(nodes, "g", [images], [logits], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    (found,) = evaluator(convert_to_fp16(model, ["gcn"])).run(None, {"images": np.full((2, 3, 32, 32), 255, np.uint8)})
    assert np.asarray(found).ravel().tolist() == [255, 255]


def test_a_weight_beyond_half_precision_is_refused_by_name(model: onnx.ModelProto) -> None:
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "cccp3.weight")
    weight = numpy_helper.to_array(tensor).copy()
    weight.flat[0] = 65520
    tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    with pytest.raises(ExportError, match=r"'cccp3\.weight' holds numbers above 65504"):
        convert_to_fp16(model, STEPS)
