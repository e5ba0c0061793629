"""What a network costs, calculated from its table alone: shapes, parameters, multiply-adds, receptive field."""

from dataclasses import dataclass

from nin_onnx.architecture import (
    Architecture,
    Conv,
    Dropout,
    FullyConnected,
    GlobalAveragePool,
    LocallyConnected,
    MaxPool,
    Row,
    Shape,
)

__all__ = ["Layer", "layers", "multiply_adds", "parameters", "receptive_field"]


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
    """Return every row of `network` with its shapes and costs.

    Only layers with weights count as multiply-adds. The receptive field is a side length in pixels, as if there were no border.
    """
    found: list[Layer] = []
    channels, height, width = network.input
    field, step = 1, 1  # side of the field, and pixels between the fields of neighbors
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
            case LocallyConnected():
                weights = row.channels * height * width * (channels * row.kernel**2 + 1)
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
            case FullyConnected():
                weights = row.units * (channels * height * width + 1)
                operations = row.units * channels * height * width
                field += (max(height, width) - 1) * step
                channels, height, width = row.units, 1, 1
            case Dropout():
                pass
        found.append(Layer(row, before, (channels, height, width), weights, operations, field))
    return tuple(found)


def parameters(network: Architecture) -> int:
    """Return the number of trainable numbers: weights and biases."""
    return sum(layer.parameters for layer in layers(network))


def multiply_adds(network: Architecture) -> int:
    """Return the multiply-adds for one image."""
    return sum(layer.multiply_adds for layer in layers(network))


def receptive_field(network: Architecture) -> int:
    """Return the side, in pixels, of the square of the input that one position of the last maps sees."""
    return next(layer for layer in layers(network) if layer.row == network.maps).receptive_field
