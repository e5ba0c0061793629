"""The list of passes, and what it notes of each."""

import onnx
from onnx import TensorProto, helper

from nin_onnx.export.passes import PASSES, PassResult, run
from nin_onnx.golden import Golden


def doubles_the_relu(model: onnx.ModelProto, golden: Golden) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.graph.node[0].output[0] = "inner"
    result.graph.node.append(helper.make_node("Relu", ["inner"], ["y"]))
    return result


def leaves_it(model: onnx.ModelProto, golden: Golden) -> onnx.ModelProto:
    return model


def tiny() -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    return helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "tiny", [x], [y]))


def test_each_pass_gets_what_the_one_before_made_and_is_noted_with_its_nodes(golden: Golden) -> None:
    before = tiny()
    after, results = run(before, golden, (leaves_it, doubles_the_relu, leaves_it))
    assert [node.op_type for node in after.graph.node] == ["Relu", "Relu"]
    assert results == [
        PassResult("leaves_it", changed=False, nodes_before=1, nodes_after=1),
        PassResult("doubles_the_relu", changed=True, nodes_before=1, nodes_after=2),
        PassResult("leaves_it", changed=False, nodes_before=2, nodes_after=2),
    ]
    assert before == tiny()


def test_the_passes_leave_the_graph_they_are_given_and_one_that_they_made_alone(raw: onnx.ModelProto, golden: Golden) -> None:
    before = onnx.ModelProto()
    before.CopyFrom(raw)
    once, results = run(raw, golden)
    assert raw == before
    assert [result.name for result in results] == [one.__name__ for one in PASSES]
    twice, _ = run(once, golden)
    assert twice == once
