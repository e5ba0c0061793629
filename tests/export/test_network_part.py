"""Where preprocessing ends, on a graph made by hand."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nin_onnx.export.network_part import layers, preprocessing


def classifier() -> onnx.ModelProto:
    """A blur and a mean are the preprocessing, two convolutions the network; a constant stands where it likes."""
    nodes = [
        helper.make_node("Cast", ["images"], ["cast"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Conv", ["cast", "lcn.gaussian"], ["lcn"], "lcn"),
        helper.make_node("Sub", ["lcn", "mean"], ["centered"], "centered"),
        helper.make_node("Conv", ["centered", "conv1.weight"], ["conv1"], "conv1"),
        helper.make_node("Relu", ["conv1"], ["relu"], "relu"),
        helper.make_node("Conv", ["relu", "cccp1.weight"], ["maps"], "cccp1"),
    ]
    kernel = np.ones((1, 1, 1, 1), np.float32)
    weights = [numpy_helper.from_array(kernel, name) for name in ("lcn.gaussian", "conv1.weight", "cccp1.weight", "mean")]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 1, 4, 4])
    maps = helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["batch", 1, 4, 4])
    return helper.make_model(helper.make_graph(nodes, "g", [images], [maps], weights))


def test_a_convolution_of_the_preprocessing_is_no_layer() -> None:
    assert [node.name for node in layers(classifier(), ["lcn"])] == ["conv1", "cccp1"]
    assert [node.name for node in layers(classifier(), [])] == ["lcn", "conv1", "cccp1"]


def test_the_preprocessing_is_what_makes_the_first_layers_input() -> None:
    assert [node.name for node in preprocessing(classifier(), ["lcn"])] == ["cast", "lcn", "centered"]
    assert [node.name for node in preprocessing(classifier(), [])] == ["cast"]


def test_without_layers_there_is_no_preprocessing() -> None:
    model = classifier()
    del model.graph.node[1:]
    assert preprocessing(model, ["lcn"]) == []
