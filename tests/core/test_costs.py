"""What is calculated from a table, against the known figures and PyTorch's own layers."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nin_onnx.architecture import (
    ARCHITECTURES,
    Architecture,
    Conv,
    Dropout,
    FullyConnected,
    GlobalAveragePool,
    LocallyConnected,
    MaxPool,
    Row,
    Shape,
    architecture,
)
from nin_onnx.costs import layers, multiply_adds, parameters, receptive_field
from nin_onnx.train.locally_connected import LocallyConnected2d

EVERY = pytest.mark.parametrize("network", ARCHITECTURES.values(), ids=ARCHITECTURES)


def module(row: Row, shape: Shape) -> nn.Module:
    """The PyTorch layer that `row` stands for, with `shape` coming in."""
    match row:
        case Conv():
            return nn.Conv2d(shape[0], row.channels, row.kernel, padding=row.padding)
        case MaxPool():
            return nn.MaxPool2d(row.kernel, row.stride, ceil_mode=True)
        case Dropout():
            return nn.Dropout()
        case GlobalAveragePool():
            return nn.AdaptiveAvgPool2d(1)
        case LocallyConnected():
            return LocallyConnected2d(shape[0], row.channels, row.kernel, *shape[1:])
        case FullyConnected():
            return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), row.units), nn.Unflatten(1, (row.units, 1, 1)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("nin-cifar10", 966_986), ("nin-cifar100", 984_356), ("nin-svhn", 1_986_026), ("nin-mnist", 349_674)],
)
def test_a_network_has_the_published_number_of_parameters(name: str, expected: int) -> None:
    assert parameters(architecture(name)) == expected


@pytest.mark.parametrize(
    ("name", "millions"), [("nin-cifar10", 222.5), ("nin-cifar100", 223.6), ("nin-svhn", 274.2), ("nin-mnist", 50.7)]
)
def test_a_network_does_the_known_number_of_multiply_adds(name: str, millions: float) -> None:
    assert multiply_adds(architecture(name)) / 1e6 == pytest.approx(millions, abs=0.05)


@EVERY
def test_shapes_and_costs_are_those_of_pytorchs_layers(network: Architecture) -> None:
    x = torch.zeros(1, *network.input)
    for layer in layers(network):
        assert layer.input == tuple(x.shape[1:])
        real = module(layer.row, layer.input)
        x = real(x)
        assert layer.output == tuple(x.shape[1:])
        assert layer.parameters == sum(weight.numel() for weight in real.parameters())
        weights = sum(weight.numel() for name, weight in real.named_parameters() if name.endswith("weight"))
        uses = x.shape[2] * x.shape[3] if isinstance(real, nn.Conv2d) else 1  # a convolution's at every position
        assert layer.multiply_adds == weights * uses
    assert tuple(x.shape) == (1, network.classes, 1, 1)


@EVERY
def test_the_receptive_field_is_what_the_gradient_reaches(network: Architecture) -> None:
    """In a network of positive, linear layers the gradient of one output is positive exactly where it sees the input."""
    pixels = torch.ones(1, 1, 96, 96, dtype=torch.float64, requires_grad=True)
    x = pixels
    for layer in layers(network):
        match layer.row:
            case Conv(kernel=kernel, padding=padding):
                x = nn.functional.conv2d(x, torch.full((1, 1, kernel, kernel), 1 / kernel**2, dtype=x.dtype), padding=padding)
            case MaxPool(kernel=kernel, stride=stride):
                x = nn.functional.avg_pool2d(x, kernel, stride, ceil_mode=True)
            case LocallyConnected(kernel=kernel):
                x = nn.functional.avg_pool2d(x, kernel, 1, kernel // 2)
            case GlobalAveragePool() | FullyConnected():
                x = nn.functional.avg_pool2d(x, layer.input[1:], 1)
            case Dropout():
                pass
        middle = x[0, 0, x.shape[2] // 2, x.shape[3] // 2]
        (gradient,) = torch.autograd.grad(middle, pixels, retain_graph=True)
        seen = gradient[0, 0] > 0
        assert [int(seen.any(axis).sum()) for axis in (0, 1)] == [layer.receptive_field] * 2, layer.row.name
    assert receptive_field(network) == next(layer.receptive_field for layer in layers(network) if layer.row == network.maps)


@given(st.data(), st.integers(2, 7), st.integers(1, 64))
def test_pooling_rounds_up_as_pytorch_does(data: st.DataObject, kernel: int, extra: int) -> None:
    side, stride = kernel + extra, data.draw(st.integers(1, kernel))
    network = Architecture("pool", (1, side, side + 1), 1, (MaxPool("pool", kernel, stride),))
    real = nn.functional.max_pool2d(torch.zeros(1, 1, side, side + 1), kernel, stride, ceil_mode=True)
    assert layers(network)[0].output == tuple(real.shape[1:])


def test_the_fully_connected_layer_of_table_5_has_640_inputs() -> None:
    (fc,) = (layer for layer in layers(architecture("nin-cifar10-fc")) if layer.row.name == "fc")
    assert (fc.input, fc.output, fc.parameters) == ((10, 8, 8), (10, 1, 1), 640 * 10 + 10)
