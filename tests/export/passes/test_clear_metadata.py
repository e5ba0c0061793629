"""The pass, on a graph made by hand and full of notes."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import nin_onnx
from nin_onnx.export.passes.clear_metadata import clear_metadata
from nin_onnx.graph import copied

SECRET = "/home/someone/secret.py"


def noted() -> onnx.ModelProto:
    """A model with a note wherever ONNX has a place for one."""
    x, y, hidden = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y", "hidden"))
    nodes = [
        helper.make_node("Add", ["x", "weight"], ["hidden"], "add"),
        helper.make_node("LeakyRelu", ["hidden"], ["y"], "leaky", alpha=0.5),
    ]
    weight = numpy_helper.from_array(np.ones(1, np.float32), "weight")
    graph = helper.make_graph(nodes, "noted", [x], [y], [weight], value_info=[hidden])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], producer_name="pytorch", producer_version="9")
    attributes = [attribute for node in model.graph.node for attribute in node.attribute]
    described: list[Any] = [model, model.graph, *model.graph.node, *model.graph.initializer]
    described += [*model.graph.input, *model.graph.output, *model.graph.value_info]
    for part in described:
        part.metadata_props.add(key="pkg.torch.onnx.stack_trace", value=SECRET)
    for part in (*described, *attributes):
        part.doc_string = SECRET
    assert model.SerializeToString().count(SECRET.encode()) == 2 * len(described) + len(attributes) == 17
    return model


def test_no_note_is_left_anywhere() -> None:
    after, changed = clear_metadata(noted())
    assert changed
    content = after.SerializeToString()
    assert SECRET.encode() not in content
    assert b"torch" not in content


def test_what_is_computed_is_left_alone() -> None:
    after, _ = clear_metadata(noted())
    onnx.checker.check_model(after, full_check=True)
    assert [(node.name, node.op_type, list(node.input), list(node.output)) for node in after.graph.node] == [
        ("add", "Add", ["x", "weight"], ["hidden"]),
        ("leaky", "LeakyRelu", ["hidden"], ["y"]),
    ]
    assert after.graph.node[1].attribute[0].f == 0.5
    assert numpy_helper.to_array(after.graph.initializer[0]).tolist() == [1]
    assert [value.name for value in after.graph.value_info] == ["hidden"]


def test_the_file_says_who_made_it_and_old_runtimes_load_it() -> None:
    after, _ = clear_metadata(noted())
    assert (after.ir_version, after.producer_name, after.producer_version) == (8, "nin-onnx", nin_onnx.__version__)


def test_a_cleared_model_is_left_alone() -> None:
    once, _ = clear_metadata(noted())
    assert clear_metadata(copied(once)) == (once, False)
