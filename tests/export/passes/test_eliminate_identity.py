"""The pass, on chains made by hand."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from nin_onnx.export.passes.eliminate_identity import eliminate_identity
from nin_onnx.graph import copied


def graph(*nodes: onnx.NodeProto, outputs: str = "y", training: bool = False) -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in outputs]
    constants = [
        numpy_helper.from_array(np.array(training), "training"),
        numpy_helper.from_array(np.array(0.5, np.float32), "ratio"),
    ]
    model = helper.make_graph(nodes, "g", [x], given, constants)
    return helper.make_model(model, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def identity(source: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Identity", [source], [target])


def relu(source: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Relu", [source], [target])


def dropout(source: str, *targets: str) -> onnx.NodeProto:
    return helper.make_node("Dropout", [source, "ratio", "training"], targets)


@pytest.mark.parametrize(
    "nodes",
    [
        (identity("x", "a"), relu("a", "y")),
        (relu("x", "a"), identity("a", "y")),
        (identity("x", "a"), identity("a", "b"), relu("b", "c"), identity("c", "d"), identity("d", "y")),
        (dropout("x", "a"), relu("a", "y")),
        (relu("x", "a"), dropout("a", "y", "mask")),
    ],
    ids=["first", "last", "several", "dropout", "dropout last"],
)
def test_what_does_nothing_goes_and_the_answers_stay(nodes: tuple[onnx.NodeProto, ...]) -> None:
    before = graph(*nodes)
    after, changed = eliminate_identity(before)
    assert changed
    onnx.checker.check_model(after, full_check=True)
    assert [(node.op_type, list(node.input), list(node.output)) for node in after.graph.node] == [("Relu", ["x"], ["y"])]
    assert not after.graph.initializer


def test_an_output_that_others_read_too_keeps_its_name() -> None:
    after, _ = eliminate_identity(graph(relu("x", "a"), identity("a", "y"), identity("a", "b"), relu("b", "z"), outputs="yz"))
    onnx.checker.check_model(after, full_check=True)
    assert [(list(node.input), list(node.output)) for node in after.graph.node] == [(["x"], ["y"]), (["y"], ["z"])]
    values = np.array([-1, 2], np.float32)
    for found in ReferenceEvaluator(after).run(None, {"x": values}):
        assert np.asarray(found).tolist() == [0, 2]


@pytest.mark.parametrize(
    "model",
    [
        graph(identity("x", "y")),
        graph(relu("x", "y"), identity("y", "z"), outputs="yz"),
        graph(dropout("x", "a"), relu("a", "y"), training=True),
        graph(relu("x", "y")),
    ],
    ids=["from input to output", "from output to output", "dropout in training", "nothing idle"],
)
def test_what_is_needed_is_left_alone(model: onnx.ModelProto) -> None:
    assert eliminate_identity(copied(model)) == (model, False)
