"""The list of passes, and what is noted of each."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from nin_onnx.errors import ExportError
from nin_onnx.export.passes import PASSES, PassReport, PassResult, run_passes
from nin_onnx.golden import Golden, golden_images
from nin_onnx.graph import copied

IMAGES = golden_images(2, 2, 1)


def doubles_the_relu(model: onnx.ModelProto) -> PassResult:
    model.graph.node[-1].output[0] = "inner"
    model.graph.node.append(helper.make_node("Relu", ["inner"], ["logits"]))
    return PassResult(model, changed=True)


def negates(model: onnx.ModelProto) -> PassResult:
    model.graph.node[-1].op_type = "Neg"
    return PassResult(model, changed=True)


def leaves_it(model: onnx.ModelProto) -> PassResult:
    return PassResult(model, changed=False)


def tiny() -> onnx.ModelProto:
    """logits = ReLU(images)."""
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 2, 2, 1])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2, 2, 1])
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Relu", ["pixels"], ["logits"], "relu"),
    ]
    graph = helper.make_graph(nodes, "tiny", [images], [logits])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.fixture
def answers() -> Golden:
    return Golden(IMAGES, {"logits": IMAGES.astype(np.float32)})


def test_each_pass_gets_what_the_one_before_made_and_is_noted_with_its_nodes(answers: Golden) -> None:
    before = tiny()
    after, reports = run_passes(before, answers, (leaves_it, doubles_the_relu, leaves_it))
    assert [node.op_type for node in after.graph.node] == ["Cast", "Relu", "Relu"]
    assert reports == [
        PassReport("leaves_it", changed=False, nodes_before=2, nodes_after=2),
        PassReport("doubles_the_relu", changed=True, nodes_before=2, nodes_after=3),
        PassReport("leaves_it", changed=False, nodes_before=3, nodes_after=3),
        PassReport("check_golden", changed=False, nodes_before=3, nodes_after=3),
    ]
    assert before == tiny()


def test_wrong_answers_are_seen_after_the_last_pass_and_name_the_one_that_made_them(answers: Golden) -> None:
    with pytest.raises(ExportError, match=r"at the node 'relu' \(Neg\), by .*, in the graph that negates made: nothing is wr"):
        run_passes(tiny(), answers, (leaves_it, negates, doubles_the_relu))


def test_the_passes_leave_the_graph_they_are_given_and_one_that_they_made_alone(raw: onnx.ModelProto, golden: Golden) -> None:
    before = copied(raw)
    once, reports = run_passes(raw, golden)
    assert raw == before
    assert [report.name for report in reports] == [*(one.__name__ for one in PASSES), "check_golden"]
    twice, reports = run_passes(once, golden)
    assert twice == once
    noted = ("simplify", "clear_metadata")  # onnxsim leaves a note in a graph that it does not change
    assert [report.name for report in reports if report.changed and report.name not in noted] == []


def test_a_pass_says_that_it_changed_the_graph_exactly_if_its_bytes_changed(raw: onnx.ModelProto) -> None:
    model = copied(raw)
    for one in PASSES * 2:
        before = model.SerializeToString(deterministic=True)
        model, changed = one(model)
        assert changed == (model.SerializeToString(deterministic=True) != before), one.__name__
