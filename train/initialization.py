"""The first weights: the author's, or He's."""

import torch

from nin_onnx.recipe import NetworkSettings
from nin_onnx.train.locally_connected import LocallyConnected2d
from nin_onnx.train.network import Network, Weighted

__all__ = ["initialize"]


def initialize(network: Network, settings: NetworkSettings, generator: torch.Generator) -> None:
    """Draw the weights from `generator`, a CPU one: the same on every device. Biases are 0, but for the class maps' `maps_bias`.

    `normal`: N(0, std²), as the author did, with a std of their own for the layers in `layer_std`. `he`: N(0, 2 / fan-in),
    and the last layer's × 0.1, so that the class maps start small enough for a rate of 0.04 (He initialization as it is
    makes them a hundred times larger than the author's, and dies).
    """
    weighted = network.weighted()
    names, maps = {module: name for name, module in network.named_children()}, network.architecture.maps.name
    for layer in weighted:
        if settings.initialization == "normal":
            std = settings.layer_std.get(names[layer], settings.std)
        else:
            std = (2 / _fan_in(layer)) ** 0.5 * (0.1 if layer is weighted[-1] else 1.0)
        drawn = torch.empty_like(layer.weight, device="cpu").normal_(0, std, generator=generator)
        assert layer.bias is not None
        with torch.no_grad():
            layer.weight.copy_(drawn)
            layer.bias.fill_(settings.maps_bias if names[layer] == maps else 0)


def _fan_in(layer: Weighted) -> int:
    """How many numbers each output is a sum of."""
    return layer.weight.shape[1] if isinstance(layer, LocallyConnected2d) else layer.weight[0].numel()
