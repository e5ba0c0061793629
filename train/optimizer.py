"""How gradients change the weights: by stochastic gradient descent, or by Muon; each group of parameters at its own rate."""

from typing import Any

import torch
from torch import Tensor, nn

from nin_onnx.train.network import Network
from nin_onnx.train.recipe import Optimizer as Settings

__all__ = ["Optimizer", "parameter_groups"]


class Optimizer:
    """Momentum and rates of all weights and biases of a network."""

    def __init__(self, network: Network, settings: Settings) -> None:
        self.names = {parameter: name for name, parameter in network.named_parameters()}
        groups = parameter_groups(network, settings)
        self.matrices: dict[nn.Parameter, nn.Parameter] = {}
        """With `muon`: each weight of a convolution or a fully connected layer, and the same numbers as a matrix."""
        self.optimizers: list[torch.optim.Optimizer] = []
        if settings.kind == "muon":
            self.matrices = {weight: _matrix(weight) for weight in self.names if weight.ndim in (2, 4)}
            as_matrices = [
                {**group, "params": [self.matrices[one] for one in group["params"] if one in self.matrices]} for group in groups
            ]
            self.optimizers.append(torch.optim.Muon(as_matrices, lr=settings.learning_rate, momentum=settings.momentum))
            groups = [{**group, "params": [one for one in group["params"] if one not in self.matrices]} for group in groups]
        self.optimizers.append(torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, fused=True))
        for optimizer in self.optimizers:  # made here, not by the first step: a state that is put back finds its place
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the weights, and every other group's with it."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["scale"]

    def step(self) -> None:
        """Change the weights by their gradients, and drop these."""
        for weight, matrix in self.matrices.items():
            assert weight.grad is not None
            matrix.grad = weight.grad.movedim(1, -1).flatten(1)
        for optimizer in self.optimizers:
            optimizer.step()
        for parameter in (*self.names, *self.matrices.values()):
            parameter.grad = None

    def momentum(self) -> dict[str, Tensor]:
        """Of each parameter, by its name: in a matrix's shape where it is changed as one."""
        states = {parameter: state for optimizer in self.optimizers for parameter, state in optimizer.state.items()}
        return {name: states[self.matrices.get(one, one)]["momentum_buffer"] for one, name in self.names.items()}


def parameter_groups(network: Network, settings: Settings) -> list[dict[str, Any]]:
    """Weights and biases, of the last layer and of the others, each with its own rate (author's released parameters).

    `scale` is the group's learning rate over that of the weights; biases do not decay.
    """
    *others, last = network.weighted()
    groups: list[dict[str, Any]] = []
    for layers, scale in ((others, 1.0), ([last], settings.last_layer_rate)):
        weights = [layer.weight for layer in layers]
        biases = [layer.bias for layer in layers]
        groups.append({"params": weights, "scale": scale, "weight_decay": settings.weight_decay})
        groups.append({"params": biases, "scale": scale * settings.bias_rate, "weight_decay": 0.0})
    return groups


def _matrix(weight: nn.Parameter) -> nn.Parameter:
    """The numbers of `weight` as a parameter [outputs, everything else].

    Raises `RuntimeError` where they do not lie as `network.channels_last` lays them.
    """
    return nn.Parameter(weight.detach().movedim(1, -1).view(len(weight), -1))  # a copy would never reach the network
