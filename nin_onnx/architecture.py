"""The networks as tables of rows, and what can be calculated from a table alone.

Source: Lin, Chen, Yan, "Network in Network", arXiv:1312.4400 v3, and the layer definitions that the author released
(mavenlin/cuda-convnet, folder NIN). Every `Conv` is followed by a ReLU; whether the last one is, the recipe says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nin_onnx.errors import UnknownNameError

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Conv",
    "Dropout",
    "GlobalAveragePool",
    "Layer",
    "MaxPool",
    "Row",
    "Shape",
    "architecture",
    "layers",
    "multiply_adds",
    "parameters",
    "receptive_field",
]

Shape = tuple[int, int, int]
"""Channels, height, width."""


@dataclass(frozen=True)
class Conv:
    """A convolution with bias, stride 1, and the ReLU behind it; with kernel 1 the paper's cccp layer."""

    name: str
    channels: int
    kernel: int = 1
    padding: int = 0


@dataclass(frozen=True)
class MaxPool:
    """Overlapping max pooling in ceil mode: the last window may reach past the right and bottom border."""

    name: str
    kernel: int = 3
    stride: int = 2


@dataclass(frozen=True)
class Dropout:
    """Dropout of single activations; the recipe sets the rate (0.5 in the paper)."""

    name: str


@dataclass(frozen=True)
class GlobalAveragePool:
    """The mean of each class map is that class's logit (paper §3.2)."""

    name: str


Row = Conv | MaxPool | Dropout | GlobalAveragePool


@dataclass(frozen=True)
class Architecture:
    """A network: what goes in, how many classes come out, and its rows from input to output."""

    name: str
    input: Shape
    classes: int
    rows: tuple[Row, ...]


def mlpconv(number: int, kernel: int, conv: int, first: int, second: int) -> tuple[Row, Row, Row]:
    """The paper's mlpconv layer: a convolution that keeps the size, and two cccp layers (§3.1)."""
    return (
        Conv(f"conv{number}", conv, kernel, kernel // 2),
        Conv(f"cccp{2 * number - 1}", first),
        Conv(f"cccp{2 * number}", second),
    )


_CIFAR10 = Architecture("nin-cifar10", (3, 32, 32), 10, (
    *mlpconv(1, 5, 192, 160, 96), MaxPool("pool1"), Dropout("drop1"),
    *mlpconv(2, 5, 192, 192, 192), MaxPool("pool2"), Dropout("drop2"),
    *mlpconv(3, 3, 192, 192, 10), GlobalAveragePool("pool3"),
))  # fmt: skip
_CIFAR100 = Architecture("nin-cifar100", (3, 32, 32), 100, (
    *mlpconv(1, 5, 192, 160, 96), MaxPool("pool1"), Dropout("drop1"),
    *mlpconv(2, 5, 192, 192, 192), MaxPool("pool2"), Dropout("drop2"),
    *mlpconv(3, 3, 192, 192, 100), GlobalAveragePool("pool3"),
))  # fmt: skip
_SVHN = Architecture("nin-svhn", (3, 32, 32), 10, (
    *mlpconv(1, 5, 128, 96, 64), MaxPool("pool1"), Dropout("drop1"),
    *mlpconv(2, 5, 320, 256, 128), MaxPool("pool2"), Dropout("drop2"),
    *mlpconv(3, 5, 384, 256, 10), GlobalAveragePool("pool3"),
))  # fmt: skip
_MNIST = Architecture("nin-mnist", (1, 28, 28), 10, (
    *mlpconv(1, 5, 96, 64, 48), MaxPool("pool1"), Dropout("drop1"),
    *mlpconv(2, 5, 128, 96, 48), MaxPool("pool2"), Dropout("drop2"),
    *mlpconv(3, 5, 128, 96, 10), GlobalAveragePool("pool3"),
))  # fmt: skip
_DIGITS = Architecture("nin-digits", (1, 8, 8), 10, (  # not in the paper: a small one for an example that runs in a minute
    *mlpconv(1, 3, 32, 32, 32), MaxPool("pool1"), Dropout("drop1"),
    *mlpconv(2, 3, 64, 64, 64), MaxPool("pool2"), Dropout("drop2"),
    *mlpconv(3, 3, 64, 64, 10), GlobalAveragePool("pool3"),
))  # fmt: skip

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {network.name: network for network in (_CIFAR10, _CIFAR100, _SVHN, _MNIST, _DIGITS)}
)


def architecture(name: str) -> Architecture:
    """The architecture of that name; raises `UnknownNameError`."""
    if name not in ARCHITECTURES:
        raise UnknownNameError("architecture", name, ARCHITECTURES)
    return ARCHITECTURES[name]


@dataclass(frozen=True)
class Layer:
    """A row in its place: shapes, parameters, multiply-adds per image, and the input pixels that one output sees."""

    row: Row
    input: Shape
    output: Shape
    parameters: int
    multiply_adds: int
    receptive_field: int


def layers(network: Architecture) -> tuple[Layer, ...]:
    """Every row of `network` with its shapes and costs.

    Only convolutions count as multiply-adds. The receptive field is a side length in pixels, as if the image had no border.
    """
    found: list[Layer] = []
    channels, height, width = network.input
    field, step = 1, 1  # side of the field, and pixels between the fields of neighbours
    for row in network.rows:
        before = (channels, height, width)
        weights = operations = 0
        match row:
            case Conv():
                height, width = (side + 2 * row.padding - row.kernel + 1 for side in (height, width))
                weights = row.channels * (channels * row.kernel**2 + 1)
                operations = row.channels * channels * row.kernel**2 * height * width
                channels = row.channels
                field += (row.kernel - 1) * step
            case MaxPool():
                height, width = (-((row.kernel - side) // row.stride) + 1 for side in (height, width))
                field += (row.kernel - 1) * step
                step *= row.stride
            case GlobalAveragePool():
                field += (max(height, width) - 1) * step
                height = width = 1
            case Dropout():
                pass
        found.append(Layer(row, before, (channels, height, width), weights, operations, field))
    return tuple(found)


def parameters(network: Architecture) -> int:
    """Trainable numbers: weights and biases."""
    return sum(layer.parameters for layer in layers(network))


def multiply_adds(network: Architecture) -> int:
    """Multiply-adds for one image."""
    return sum(layer.multiply_adds for layer in layers(network))


def receptive_field(network: Architecture) -> int:
    """Side, in pixels, of the square of the input that one position of a class map sees."""
    return [layer for layer in layers(network) if isinstance(layer.row, Conv)][-1].receptive_field
