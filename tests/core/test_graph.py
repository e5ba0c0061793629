"""Reading and changing graphs, on graphs made by hand."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nin_onnx.graph import attributes, copied, external_files, graph_inputs, opset, replace_all, replace_nodes, subgraphs


def outside(name: str) -> TensorProto:
    """A weight in a file of its own."""
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), name)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=f"{name}.bin")
    return tensor


def branching() -> onnx.ModelProto:
    """A graph whose node holds two graphs, one of them with another within."""
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    condition = helper.make_tensor_value_info("condition", TensorProto.BOOL, [])
    innermost = helper.make_graph([helper.make_node("Constant", [], ["y"], value=outside("b"))], "innermost", [], [value])
    choice = helper.make_node("If", ["condition"], ["y"], then_branch=innermost, else_branch=innermost)
    inner = helper.make_graph([choice], "inner", [], [value], [outside("c")])
    node = helper.make_node("If", ["condition"], ["z"], then_branch=inner, else_branch=innermost)
    return helper.make_model(helper.make_graph([node], "outer", [condition], [value], [outside("a"), outside("a")]))


def chain() -> onnx.ModelProto:
    """x → Neg → a → Abs → y."""
    x, a, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xay")
    nodes = [helper.make_node("Neg", ["x"], ["a"]), helper.make_node("Abs", ["a"], ["y"])]
    return helper.make_model(helper.make_graph(nodes, "chain", [x], [y], value_info=[a]))


def test_graphs_within_graphs_are_found() -> None:
    names = sorted(graph.name for graph in subgraphs(branching().graph.node) if graph.name)
    assert names == ["inner", "innermost", "innermost", "innermost"]


def test_weights_within_branches_and_attributes_are_found_too() -> None:
    assert external_files(branching()) == ("a.bin", "b.bin", "c.bin")


@pytest.mark.parametrize(
    ("sets", "expected"), [([("", 18)], 18), ([("com.microsoft", 1), ("ai.onnx", 13)], 13), ([("com.microsoft", 1)], 0)]
)
def test_the_opset_is_that_of_onnx_s_own_operators(sets: list[tuple[str, int]], expected: int) -> None:
    model = chain()
    replace_all(model.opset_import, [helper.make_opsetid(*one) for one in sets])
    assert opset(model) == expected


def test_attributes_are_values_by_name() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 2], group=3, auto_pad="VALID")
    assert attributes(node) == {"pads": [1, 2], "group": 3, "auto_pad": b"VALID"}


def test_weights_that_are_listed_as_inputs_need_not_be_given() -> None:
    graph = chain().graph
    graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [1]))
    graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "w"))
    assert [value.name for value in graph_inputs(graph)] == ["x"]


def test_a_copy_changes_alone() -> None:
    model = chain()
    copied(model).graph.node[0].op_type = "Sqrt"
    assert model == chain()


def test_nodes_may_come_from_those_that_they_replace() -> None:
    graph = chain().graph
    replace_all(graph.node, [graph.node[1], helper.make_node("Exp", ["y"], ["z"]), graph.node[0]])
    assert [node.op_type for node in graph.node] == ["Abs", "Exp", "Neg"]


def test_what_is_known_of_a_value_goes_with_its_last_node() -> None:
    graph = chain().graph
    replace_nodes(graph, [graph.node[1]])
    assert [info.name for info in graph.value_info] == ["a"]
    replace_nodes(graph, [helper.make_node("Abs", ["x"], ["y"])])
    assert not graph.value_info
