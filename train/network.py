"""The PyTorch module that a table of rows describes, and the classifier that raw pixels go into."""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from nin_onnx.architecture import (
    Architecture,
    Conv,
    Dropout,
    FullyConnected,
    GlobalAveragePool,
    LocallyConnected,
    MaxPool,
    Shape,
)
from nin_onnx.costs import layers
from nin_onnx.train.dropout import SeededDropout
from nin_onnx.train.locally_connected import LocallyConnected2d
from nin_onnx.train.preprocessing import Preprocessing

__all__ = [
    "Decisions",
    "ImageClassifier",
    "Network",
    "Outputs",
    "TorchClassifier",
    "Weighted",
    "channels_last",
    "decisions",
    "logits",
]

Weighted = nn.Conv2d | LocallyConnected2d | nn.Linear
"""A layer with weights and biases."""


class Outputs(NamedTuple):
    """The outputs of a classifier with class maps, in the order of the exported graph's."""

    logits: Tensor
    """[N, classes]."""
    probabilities: Tensor
    """[N, classes], the logits' softmax."""
    class_maps: Tensor
    """[N, classes, h, w]: where in the image each class was seen (paper §4.7); their means are the logits."""


class Decisions(NamedTuple):
    """The outputs of a classifier with a fully connected layer: the same without class maps."""

    logits: Tensor
    probabilities: Tensor


class Network(nn.Sequential):
    """A network of the paper: preprocessed images [N, channels, height, width] in.

    Out come class maps [N, classes, h, w], or the logits [N, classes] if the last layer is fully connected.
    """

    def __init__(self, architecture: Architecture, *, last_relu: bool, dropout: float, dropout_scaling: str = "training") -> None:
        super().__init__()
        self.architecture = architecture
        without_relu = architecture.maps if architecture.class_maps and not last_relu else None
        for layer in layers(architecture):
            channels, height, width = layer.input
            match layer.row:
                case Conv(name, out, kernel, padding):
                    self.add_module(name, nn.Conv2d(channels, out, kernel, padding=padding))
                case LocallyConnected(name, out, kernel):
                    self.add_module(name, LocallyConnected2d(channels, out, kernel, height, width))
                case MaxPool(name, kernel, stride):
                    self.add_module(name, nn.MaxPool2d(kernel, stride, ceil_mode=True))
                case Dropout(name):
                    self.add_module(name, SeededDropout(dropout, dropout_scaling))
                case FullyConnected(name, units):
                    self.add_module(f"{name}_flatten", nn.Flatten())
                    self.add_module(name, nn.Linear(channels * height * width, units))
                case GlobalAveragePool():
                    pass  # `logits` takes the mean, since the classifier also outputs the maps
            if isinstance(layer.row, Conv | LocallyConnected) and layer.row != without_relu:
                self.add_module(f"{layer.row.name}_relu", nn.ReLU(inplace=True))

    def weighted(self) -> list[Weighted]:
        """Return the layers with weights, first to last."""
        return [module for module in self if isinstance(module, Weighted)]

    def dropouts(self) -> list[SeededDropout]:
        """Return the dropout layers, first to last."""
        return [module for module in self if isinstance(module, SeededDropout)]

    def for_training(self) -> nn.Sequential:
        """Return the same modules with each ReLU after the pool that follows it: the same bits from a quarter of the numbers."""
        modules = list(self)
        for i, (one, other) in enumerate(pairwise(modules)):
            if isinstance(one, nn.ReLU) and isinstance(other, nn.MaxPool2d):
                modules[i], modules[i + 1] = other, one
        return nn.Sequential(*modules)


class ImageClassifier(nn.Module):
    """Raw pixels, uint8 [N, height, width, channels], in; logits, probabilities and, if there are any, class maps out."""

    input: Shape
    """Of an image: channels, height, width."""


class TorchClassifier(ImageClassifier):
    """A network of the paper behind its preprocessing."""

    def __init__(self, preprocessing: Preprocessing, network: Network) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.network = network
        self.input = network.architecture.input

    def forward(self, images: Tensor) -> Outputs | Decisions:
        dtype = self.network.weighted()[0].weight.dtype
        return decisions(self.network(self.preprocessing(images, dtype)))


def decisions(output: Tensor) -> Outputs | Decisions:
    """Return a classifier's outputs from its network's: class maps [N, classes, h, w] or logits [N, classes]."""
    scores = logits(output)
    probabilities = scores.softmax(1)
    return Outputs(scores, probabilities, output) if output.ndim == 4 else Decisions(scores, probabilities)


def logits(output: Tensor) -> Tensor:
    """Return the logits [N, classes] from a network's output: the means of its class maps, or the output itself."""
    return output.mean((2, 3)) if output.ndim == 4 else output


def channels_last(network: Network) -> Network:
    """Return `network` with its weights in the layout in which convolutions are fastest: channels innermost."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return] # torch's stubs lack it
