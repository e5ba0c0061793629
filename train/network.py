"""The PyTorch module that a table of rows describes, and the classifier that raw pixels go into."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from nin_onnx.architecture import Architecture, Conv, Dropout, GlobalAveragePool, MaxPool, layers
from nin_onnx.train.dropout import SeededDropout
from nin_onnx.train.preprocessing import Preprocessing

__all__ = ["Classifier", "Network", "Outputs", "channels_last", "initialise"]


class Outputs(NamedTuple):
    """What a classifier answers, in the order of the exported graph's outputs."""

    logits: Tensor
    """[N, classes]."""
    probabilities: Tensor
    """[N, classes], the logits' softmax."""
    class_maps: Tensor
    """[N, classes, h, w]: where in the image each class was seen (paper §4.7); their means are the logits."""


class Network(nn.Sequential):
    """A network of the paper: preprocessed images [N, channels, height, width] in, class maps [N, classes, h, w] out."""

    def __init__(self, architecture: Architecture, *, last_relu: bool, dropout: float, dropout_scaling: str = "training") -> None:
        super().__init__()
        self.architecture = architecture
        last = [row for row in architecture.rows if isinstance(row, Conv)][-1]
        for layer in layers(architecture):
            match layer.row:
                case Conv(name, channels, kernel, padding):
                    self.add_module(name, nn.Conv2d(layer.input[0], channels, kernel, padding=padding))
                    if last_relu or layer.row != last:
                        self.add_module(f"{name}_relu", nn.ReLU(inplace=True))
                case MaxPool(name, kernel, stride):
                    self.add_module(name, nn.MaxPool2d(kernel, stride, ceil_mode=True))
                case Dropout(name):
                    self.add_module(name, SeededDropout(dropout, dropout_scaling))
                case GlobalAveragePool():
                    pass  # the classifier takes the mean, since it also shows the maps

    def convolutions(self) -> list[nn.Conv2d]:
        """The convolutions, first to last."""
        return [module for module in self if isinstance(module, nn.Conv2d)]

    def dropouts(self) -> list[SeededDropout]:
        """The dropout layers, first to last."""
        return [module for module in self if isinstance(module, SeededDropout)]


class Classifier(nn.Module):
    """Raw pixels, uint8 [N, height, width, channels], in; logits, probabilities and class maps out."""

    def __init__(self, preprocessing: Preprocessing, network: Network) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.network = network

    def forward(self, images: Tensor) -> Outputs:
        dtype = self.network.convolutions()[0].weight.dtype
        maps = self.network(self.preprocessing(images, dtype))
        logits = maps.mean((2, 3))
        return Outputs(logits, logits.softmax(1), maps)


def channels_last(network: Network) -> Network:
    """`network`, its weights laid out as convolutions compute fastest: channels innermost."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return] # torch's stubs lack it


def initialise(network: Network, kind: str, std: float, generator: torch.Generator) -> None:
    """Draw the weights from `generator`, a CPU one: the same on every device; set the biases to 0.

    `normal`: N(0, std²), as the author did. `he`: N(0, 2 / fan-in), and the last layer's × 0.1, so that the class maps start
    small enough for a rate of 0.04 (He initialisation as it is makes them a hundred times larger than the author's, and dies).
    """
    convolutions = network.convolutions()
    for convolution in convolutions:
        fan_in = convolution.weight[0].numel()
        scale = std if kind == "normal" else (2 / fan_in) ** 0.5 * (0.1 if convolution is convolutions[-1] else 1.0)
        drawn = torch.empty_like(convolution.weight, device="cpu").normal_(0, scale, generator=generator)
        assert convolution.bias is not None
        with torch.no_grad():
            convolution.weight.copy_(drawn)
            convolution.bias.zero_()
