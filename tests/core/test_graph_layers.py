"""The layers of a graph: against PyTorch's own counts, the tables of the paper, and graphs made by hand."""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nin_onnx.architecture import architecture
from nin_onnx.costs import layers
from nin_onnx.graph_layers import GraphLayer, graph_layers
from nin_onnx.models import find


class Their(nn.Module):
    """A network that is none of ours: groups, strides, a skip connection, an upsampling convolution, products of activations."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.SiLU())
        self.second = nn.Sequential(nn.Conv2d(8, 16, (1, 3), padding=(0, 1)), nn.ReLU6())
        self.up = nn.ConvTranspose2d(16, 4, 2, 2)
        self.last = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(self.first(x))
        x = self.up(x + x.mean((2, 3), keepdim=True))
        x = x @ x.transpose(2, 3)  # attention multiplies activations
        scores: torch.Tensor = self.last(x.mean((2, 3)))
        return scores


def tensor(name: str, *shape: int, kind: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.ones(shape, kind), name)


def model(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], shape: list[Any], rank: int = 4) -> onnx.ModelProto:
    """A graph from `x` to `y`."""
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name, sides in (("x", shape), ("y", [None] * rank))
    ]
    graph = helper.make_graph(nodes, "made", values[:1], values[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_the_shipped_model_has_the_shapes_and_costs_of_its_table() -> None:
    expected = {layer.row.name: layer for layer in layers(architecture("nin-mnist"))}
    found = {layer.name: layer for layer in graph_layers(onnx.load(find("nin-mnist")))}
    assert set(expected) - set(found) == {"drop1", "drop2"}
    for name in set(expected) & set(found):
        layer = expected[name]
        assert (found[name].output, found[name].parameters, found[name].multiply_adds) == (
            layer.output,
            layer.parameters,
            layer.multiply_adds,
        )
    assert found["conv1"].operators == ("Conv 5×5", "Relu")
    assert found["pool1"].operators == ("MaxPool 3×3 /2",)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # of torch's exporter about torch
def test_a_network_of_another_kind_has_the_parameters_and_products_that_pytorch_counts(tmp_path: Path) -> None:
    network = Their().eval()
    example = torch.zeros(1, 3, 16, 16)
    with FlopCounterMode(display=False) as counter:
        network(example)
    torch.onnx.export(network, (example,), tmp_path / "model.onnx", dynamo=True, external_data=False, verbose=False)
    found = graph_layers(onnx.load(tmp_path / "model.onnx"))
    assert sum(layer.multiply_adds or 0 for layer in found) == counter.get_total_flops() // 2  # an addition and a product
    assert sum(layer.parameters for layer in found) == sum(weight.numel() for weight in network.parameters())
    (grouped,) = (layer for layer in found if "groups" in layer.operators[0])
    assert grouped.operators[0] == "Conv 3×3 (8 groups)"


@pytest.mark.parametrize(
    ("name", "parameters", "giga"),
    [("resnet50", 25_557_032, 4.09), ("vgg19", 143_667_240, 19.63), ("squeezenet", 1_235_496, 0.35)],  # as torchvision lists them
)
def test_well_known_networks_from_elsewhere_have_their_well_known_sizes(name: str, parameters: int, giga: float) -> None:
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"  # real graphs, their weights left out
    found = graph_layers(onnx.load(folder / f"light_{name}.onnx"))
    assert sum(layer.parameters for layer in found) == parameters
    assert round(sum(layer.multiply_adds or 0 for layer in found) / 1e9, 2) == giga


def test_sizes_that_the_graph_leaves_free_are_those_that_were_given() -> None:
    made = model([helper.make_node("Conv", ["x", "w"], ["y"], "conv")], [tensor("w", 4, 3, 1, 1)], ["N", 3, "h", "w"])
    assert graph_layers(made) == [GraphLayer("conv", ("Conv 1×1",), (4, None, None), 12, None)]
    assert graph_layers(made, {2: 5, 3: 6}) == [GraphLayer("conv", ("Conv 1×1",), (4, 5, 6), 12, 4 * 3 * 5 * 6)]


def test_quantized_weights_count_as_the_layers_own_and_the_quantization_is_not_shown() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("DequantizeLinear", ["w8", "s", "z"], ["w"]),
        helper.make_node("Conv", ["d", "w", "b"], ["c"], "conv"),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["q2"]),
        helper.make_node("DequantizeLinear", ["q2", "s", "z"], ["d2"]),
        helper.make_node("Relu", ["d2"], ["y"], "relu"),
    ]
    weights = [tensor("w8", 4, 3, 3, 3, kind=np.int8), tensor("b", 4), tensor("s"), tensor("z", kind=np.int8)]
    expected = GraphLayer("conv", ("Conv 3×3", "Relu"), (4, 6, 6), 4 * 3 * 9 + 4, 4 * 36 * 27)
    assert graph_layers(model(nodes, weights, ["N", 3, 8, 8])) == [expected]


def test_what_normalization_measured_is_no_parameter() -> None:
    nodes = [helper.make_node("BatchNormalization", ["x", "scale", "shift", "mean", "variance"], ["y"], "norm")]
    made = model(nodes, [tensor(name, 3) for name in ("scale", "shift", "mean", "variance")], ["N", 3, 4, 4])
    assert [layer.parameters for layer in graph_layers(made)] == [6]


def test_an_added_constant_is_a_bias_and_a_single_number_none() -> None:
    nodes = [helper.make_node("Add", ["x", "bias"], ["a"], "bias"), helper.make_node("Add", ["a", "three"], ["y"], "three")]
    made = model(nodes, [tensor("bias", 3, 4, 4), tensor("three")], ["N", 3, 4, 4])
    assert graph_layers(made) == [GraphLayer("bias", ("Add", "Add"), (3, 4, 4), 48, 0)]


def test_a_weight_that_two_layers_share_is_counted_once() -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w8", "s"], ["w1"]),
        helper.make_node("DequantizeLinear", ["w8", "s"], ["w2"]),
        helper.make_node("Conv", ["x", "w1", "b"], ["c"], "first"),
        helper.make_node("Conv", ["c", "w2", "b"], ["y"], "second"),
    ]
    made = model(nodes, [tensor("w8", 3, 3, 1, 1, kind=np.int8), tensor("s"), tensor("b", 3)], ["N", 3, 4, 4])
    assert [(layer.name, layer.parameters) for layer in graph_layers(made)] == [("first", 12), ("second", 0)]
    assert [layer.multiply_adds for layer in graph_layers(made)] == [144, 144]


def test_what_joins_two_branches_has_a_line_of_its_own() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "relu"),
        helper.make_node("Sigmoid", ["a"], ["b"], "sigmoid"),
        helper.make_node("Mul", ["a", "b"], ["y"], "join"),
    ]
    found = graph_layers(model(nodes, [], ["N", 3, 4, 4]))
    assert [(layer.name, layer.operators) for layer in found] == [("relu", ("Relu", "Sigmoid")), ("join", ("Mul",))]


def test_shapes_that_are_calculated_are_not_shown() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "axes"], ["batches"]),
        helper.make_node("Concat", ["batches", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"], "flat"),
    ]
    numbers = {"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1])}
    made = model(nodes, [numpy_helper.from_array(value, name) for name, value in numbers.items()], ["N", 3, 4, 4], 2)
    assert graph_layers(made) == [GraphLayer("flat", ("Reshape",), (48,), 0, 0)]


def test_the_batch_has_no_part_in_it() -> None:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], "fc", transB=1)
    for batch in (None, "N", 1, 4, -1):
        made = model([node], [tensor("w", 5, 7), tensor("b", 5)], [batch, 7], 2)
        assert graph_layers(made) == [GraphLayer("fc", ("Gemm",), (5,), prod((5, 7)) + 5, 35)]
