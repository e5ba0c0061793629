"""The pass, on graphs made by hand."""

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from nin_onnx.export.passes.stable_names import stable_names
from nin_onnx.graph import copied


def graph(nodes: Sequence[onnx.NodeProto], **weights: float) -> onnx.ModelProto:
    """A graph from `x` to `y`, both [N, 1, 4, 4]; weights are [1, 1, 1, 1], their names with `__` for a dot."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1, 4, 4]) for name in "xy")
    constants = [
        numpy_helper.from_array(np.full((1, 1, 1, 1), value, np.float32), name.replace("__", "."))
        for name, value in weights.items()
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "made by hand", [x], [y], constants),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def names(model: onnx.ModelProto) -> list[tuple[str, list[str]]]:
    """Name and outputs of every node."""
    return [(node.name, list(node.output)) for node in model.graph.node]


def renamed(model: onnx.ModelProto) -> onnx.ModelProto:
    """What the pass makes of `model`, once it is known to be valid and to give the same answers."""
    result, _ = stable_names(copied(model))
    onnx.checker.check_model(result, full_check=True)
    x = np.random.default_rng(0).normal(size=(3, 1, 4, 4)).astype(np.float32)
    for before, after in zip(*(ReferenceEvaluator(one).run(None, {"x": x}) for one in (model, result)), strict=True):
        np.testing.assert_array_equal(before, after)
    return result


def test_layers_are_named_after_their_weights_relus_after_their_layer_and_pools_are_counted() -> None:
    model = graph(
        [
            helper.make_node("Div", ["x", "preprocessing.scale.highest"], ["val_1"], "node_div"),
            helper.make_node("Conv", ["val_1", "network.conv1.weight"], ["val_2"], "node_conv2d"),
            helper.make_node("Relu", ["val_2"], ["val_3"], "node_relu_7"),
            helper.make_node("MaxPool", ["val_3"], ["val_4"], "node_pool", kernel_shape=[3, 3], pads=[1] * 4),
            helper.make_node("AveragePool", ["val_4"], ["val_5"], kernel_shape=[3, 3], pads=[1] * 4),
            helper.make_node("Neg", ["val_5"], ["y"]),
        ],
        preprocessing__scale__highest=255,
        network__conv1__weight=0.5,
    )
    result = renamed(model)
    assert names(result) == [
        ("scale", ["scale"]),
        ("conv1", ["conv1"]),
        ("conv1_relu", ["conv1_relu"]),
        ("pool1", ["pool1"]),
        ("pool2", ["pool2"]),
        ("neg", ["y"]),
    ]
    assert [tensor.name for tensor in result.graph.initializer] == ["scale.highest", "conv1.weight"]


def test_names_that_have_been_given_are_left_alone() -> None:
    model = graph(
        [
            helper.make_node("Conv", ["x", "network.conv1.weight"], ["val_2"]),
            helper.make_node("Conv", ["val_2", "network.conv1.weight"], ["y"]),
        ],
        network__conv1__weight=0.5,
    )
    once = renamed(model)
    assert stable_names(copied(once)) == (once, False)


def test_a_name_that_is_taken_gets_a_number() -> None:
    model = graph(
        [
            helper.make_node("Add", ["x", "network.a.weight"], ["1"]),
            helper.make_node("Add", ["1", "preprocessing.a.weight"], ["2"]),  # both weights would be 'a.weight'
            helper.make_node("Mul", ["2", "network.x.weight"], ["3"]),  # the node would be called as the input is
            helper.make_node("Sub", ["3", "network.y.weight"], ["4"]),  # as the output is
            helper.make_node("Add", ["4", "network.a_2.weight"], ["5"]),  # as another was numbered
            helper.make_node("Neg", ["5"], ["6"]),
            helper.make_node("Neg", ["6"], ["y"]),
        ],
        network__a__weight=1,
        preprocessing__a__weight=2,
        network__x__weight=3,
        network__y__weight=4,
        network__a_2__weight=5,
    )
    result = renamed(model)
    everything = [
        *(value.name for value in (*result.graph.input, *result.graph.initializer)),
        *(name for node in result.graph.node for name in node.output),
    ]
    assert len(set(everything)) == len(everything)
    nodes = [node.name for node in result.graph.node]
    assert len(set(nodes)) == len(nodes)
    assert [name.partition("_")[0] for name in nodes] == ["a", "a", "x", "y", "a", "neg", "neg"]


def test_a_node_with_two_outputs_an_input_left_out_and_a_relu_of_the_input_are_named_too() -> None:
    model = graph(
        [
            helper.make_node("Relu", ["x"], ["positive"]),
            helper.make_node("ReduceMax", ["positive"], ["highest"], keepdims=0),
            helper.make_node("Clip", ["positive", "", "highest"], ["low"]),
            helper.make_node("Split", ["low"], ["left", "right"], axis=3, num_outputs=2),
            helper.make_node("Concat", ["right", "left"], ["y"], axis=3),
        ]
    )
    assert names(renamed(model)) == [
        ("x_relu", ["x_relu"]),
        ("reducemax", ["reducemax"]),
        ("clip", ["clip"]),
        ("split", ["split", "split_2"]),
        ("concat", ["y"]),
    ]


@pytest.mark.parametrize("suffix", ["", "_of_another_exporter"])
def test_what_the_exporter_called_things_leaves_no_trace(suffix: str) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "network.conv1.weight"], [f"1{suffix}"], f"n{suffix}"),
        helper.make_node("Relu", [f"1{suffix}"], ["y"]),
    ]
    model = onnx.shape_inference.infer_shapes(graph(nodes, network__conv1__weight=1))
    result, _ = stable_names(copied(model))
    assert names(result) == [("conv1", ["conv1"]), ("conv1_relu", ["y"])]
    assert [value.name for value in result.graph.value_info] == ["conv1"]
