"""The optimizers, stochastic gradient descent and Muon; each group of parameters has its own learning rate."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nin_onnx.recipe import OptimizerSettings
from nin_onnx.train.network import Network

__all__ = ["Muon", "Optimizer", "orthogonalized", "parameter_groups"]


class Optimizer:
    """Momentum and learning rates of all weights and biases of a network."""

    def __init__(self, network: Network, settings: OptimizerSettings) -> None:
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
            self.optimizers.append(Muon(as_matrices, settings.momentum))
            groups = [{**group, "params": [one for one in group["params"] if one not in self.matrices]} for group in groups]
        self.optimizers.append(torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, fused=True))
        device = next(network.parameters()).device
        for optimizer in self.optimizers:  # made here, not by the first step: a state that is put back finds its place
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
                # On the device, where a captured step reads it anew.
                group["lr"] = torch.tensor(settings.learning_rate * group["scale"], device=device)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the learning rate of the weights, and every other group's with it."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"].fill_(learning_rate * group["scale"])

    def step(self) -> None:
        """Update the weights by their gradients, and drop these."""
        for weight, matrix in self.matrices.items():
            assert weight.grad is not None
            matrix.grad = weight.grad.movedim(1, -1).flatten(1)
        for optimizer in self.optimizers:
            optimizer.step()
        self.drop_gradients()

    def drop_gradients(self) -> None:
        """Forget the gradients, also those that a failed pass has left."""
        for parameter in (*self.names, *self.matrices.values()):
            parameter.grad = None

    def momentum(self) -> dict[str, Tensor]:
        """Return the momentum of each parameter by its name, in a matrix's shape if it is updated as one."""
        states = {parameter: state for optimizer in self.optimizers for parameter, state in optimizer.state.items()}
        return {name: states[self.matrices.get(one, one)]["momentum_buffer"] for one, name in self.names.items()}


class Muon(torch.optim.Optimizer):
    """Moves matrices by their Nesterov momentum made orthogonal, as `torch.optim.Muon` does.

    With one difference: each group's `lr` is a tensor, which a CUDA graph reads anew in each replay.
    """

    def __init__(self, groups: Sequence[dict[str, Any]], momentum: float) -> None:
        super().__init__(groups, {"lr": 0.0, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Change each matrix [outputs, everything else] by its gradient."""
        assert closure is None
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            for matrix in group["params"]:
                average = self.state[matrix]["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
                direction = orthogonalized(matrix.grad.lerp(average, momentum))
                rows, columns = matrix.shape
                matrix.mul_(1 - lr * group["weight_decay"])
                matrix.sub_(direction * (lr * math.sqrt(max(1, rows / columns))))


def orthogonalized(matrix: Tensor) -> Tensor:
    """Return about U·Vᵀ of `matrix` = U·S·Vᵀ, in bf16: five Newton-Schulz steps, which leave singular values within 0.5 to 1.5.

    Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks", with its coefficients.
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.bfloat16()
    x = x.T if is_tall else x
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x.T if is_tall else x


def parameter_groups(network: Network, settings: OptimizerSettings) -> list[dict[str, Any]]:
    """Return weights and biases, of the last layer and of the others, as groups with a learning rate of their own.

    `scale` is the group's learning rate over that of the weights; biases do not decay (author's released parameters).
    """
    *others, last = network.weighted()
    groups: list[dict[str, Any]] = []
    for layers, scale in ((others, 1.0), ([last], settings.last_layer_lr_mult)):
        weights = [layer.weight for layer in layers]
        biases = [layer.bias for layer in layers]
        groups.append({"params": weights, "scale": scale, "weight_decay": settings.weight_decay})
        groups.append({"params": biases, "scale": scale * settings.bias_lr_mult, "weight_decay": 0.0})
    return groups


def _matrix(weight: nn.Parameter) -> nn.Parameter:
    """The numbers of `weight` as a parameter [outputs, everything else].

    Raises `RuntimeError` where they do not lie as `network.channels_last` lays them.
    """
    return nn.Parameter(weight.detach().movedim(1, -1).view(len(weight), -1))  # a copy would never reach the network
