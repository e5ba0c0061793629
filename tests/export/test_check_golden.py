"""The check, on a network made by hand: class maps are the pixels, logits their means."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nin_onnx.errors import ExportError
from nin_onnx.export.check_golden import check_golden
from nin_onnx.golden import Golden, golden_images

CLASSES = 3
ADVICE = "nothing is written; install the versions in constraints.txt"


@pytest.fixture
def answers() -> Golden:
    """What the network answers, calculated in float64."""
    images = golden_images(4, 4, CLASSES)
    maps = images.transpose(0, 3, 1, 2).astype(np.float64) / 16
    logits = maps.mean((2, 3))
    powers = np.exp(logits - logits.max(1, keepdims=True))
    outputs = {"logits": logits, "probabilities": powers / powers.sum(1, keepdims=True), "class_maps": maps}
    return Golden(images, {name: output.astype(np.float32) for name, output in outputs.items()})


@pytest.fixture
def network() -> onnx.ModelProto:
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 4, 4, CLASSES])
    sides = {"logits": [], "probabilities": [], "class_maps": [4, 4]}
    nodes = [
        helper.make_node("Transpose", ["images"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["first"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["pixels", "sixteen"], ["class_maps"]),
        helper.make_node("ReduceMean", ["class_maps", "axes"], ["means"], keepdims=0),
        helper.make_node("Add", ["means", "offset"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(16, np.float32), "sixteen"),
        numpy_helper.from_array(np.array([2, 3]), "axes"),
        numpy_helper.from_array(np.zeros(CLASSES, np.float32), "offset"),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", CLASSES, *rest]) for name, rest in sides.items()]
    graph = helper.make_graph(nodes, "made by hand", [images], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def set_constant(model: onnx.ModelProto, name: str, value: NDArray[np.float32]) -> None:
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(value, name))


def test_a_graph_that_answers_as_the_network_is_left_alone(network: onnx.ModelProto, answers: Golden) -> None:
    before = network.SerializeToString(deterministic=True)
    check_golden(network, answers)
    assert network.SerializeToString(deterministic=True) == before


def test_a_difference_is_measured_against_the_largest_logit_of_all_images(network: onnx.ModelProto, answers: Golden) -> None:
    largest = np.abs(answers.outputs["logits"]).max()  # 255 / 16, of the white image; the black one's logits are 0
    set_constant(network, "offset", np.full(CLASSES, 0.9e-5 * largest, np.float32))
    check_golden(network, answers)
    set_constant(network, "offset", np.full(CLASSES, 1.2e-5 * largest, np.float32))
    with pytest.raises(ExportError, match=rf"^the graph's 'logits' differs from PyTorch's by 1\.2e-05 .*: {ADVICE}$"):
        check_golden(network, answers)


@pytest.mark.parametrize("output", ["probabilities", "class_maps"])
def test_every_output_is_compared(output: str, network: onnx.ModelProto, answers: Golden) -> None:
    wrong = answers.outputs[output].copy()
    wrong[-1].flat[0] += 1e-3 * wrong.max()
    outputs = {**answers.outputs, output: wrong}
    with pytest.raises(ExportError, match=f"^the graph's '{output}' differs"):
        check_golden(network, Golden(answers.images, outputs))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_infinity_are_no_answer(value: float, network: onnx.ModelProto, answers: Golden) -> None:
    set_constant(network, "offset", np.array([0, value, 0], np.float32))
    with np.errstate(invalid="ignore"), pytest.raises(ExportError, match=r"^the graph's 'logits' differs"):
        check_golden(network, answers)


def test_a_batch_that_became_a_constant_is_seen(network: onnx.ModelProto, answers: Golden) -> None:
    nodes = list(network.graph.node)
    nodes[4].output[0] = "sums"
    fixed = helper.make_node("Expand", ["sums", "fixed"], ["logits"])
    del network.graph.node[:]
    network.graph.node.extend([*nodes[:5], fixed, nodes[5]])
    network.graph.initializer.append(numpy_helper.from_array(np.array([len(answers.images), CLASSES]), "fixed"))
    with pytest.raises(ExportError, match=rf"^the graph's 'logits' has the shape \[12, 3\], expected \[1, 3\]: {ADVICE}$"):
        check_golden(network, answers)


def test_an_output_that_went_missing_is_seen(network: onnx.ModelProto, answers: Golden) -> None:
    del network.graph.output[1]
    with pytest.raises(ExportError, match=r"^the graph gives \['logits', 'class_maps'\], expected \['logits', 'probabil"):
        check_golden(network, answers)


def test_outputs_in_another_order_are_seen(network: onnx.ModelProto, answers: Golden) -> None:
    outputs = list(network.graph.output)
    del network.graph.output[:]
    network.graph.output.extend(reversed(outputs))
    with pytest.raises(ExportError, match=r"^the graph gives \['class_maps', "):
        check_golden(network, answers)


def test_a_graph_that_is_not_valid_is_an_error_of_one_line(network: onnx.ModelProto, answers: Golden) -> None:
    network.graph.node[2].input[1] = "absent"
    with pytest.raises(ExportError, match=rf"^the graph is not valid ONNX \(.*\): {ADVICE}$") as caught:
        check_golden(network, answers)
    assert "\n" not in str(caught.value)


def test_a_graph_whose_shapes_contradict_each_other_is_an_error(network: onnx.ModelProto, answers: Golden) -> None:
    network.graph.output[2].type.tensor_type.shape.dim[3].dim_value = 5
    with pytest.raises(ExportError, match=r"^the graph is not valid ONNX"):
        check_golden(network, answers)
