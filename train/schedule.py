"""The learning rate over time, the paper's parameter groups, and the moving average of the weights."""

import math
from typing import Any

import torch

from nin_onnx.train.network import Network
from nin_onnx.train.recipe import Optimizer, Recipe, Schedule

__all__ = ["average_weights", "parameter_groups", "rate_factor", "set_rate"]


def rate_factor(schedule: Schedule, step: int, steps: int, steps_per_epoch: int) -> float:
    """What the learning rate is multiplied by at `step` (from 0) of `steps`: 1 at the schedule's highest."""
    if schedule.kind == "stepped":
        epoch = step // steps_per_epoch
        return 0.1 ** sum(epoch >= drop for drop in schedule.drops)
    rising = schedule.warm_up * steps
    if step < rising:
        return (step + 1) / (math.floor(rising) + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))


def parameter_groups(network: Network, optimizer: Optimizer) -> list[dict[str, Any]]:
    """Weights and biases, of the last layer and of the others, each with its own rate (author's released parameters).

    `scale` is the group's learning rate over that of the weights; biases do not decay.
    """
    *others, last = network.convolutions()
    groups: list[dict[str, Any]] = []
    for layers, scale in ((others, 1.0), ([last], optimizer.last_layer_rate)):
        weights = [layer.weight for layer in layers]
        biases = [layer.bias for layer in layers]
        groups.append({"params": weights, "scale": scale, "weight_decay": optimizer.weight_decay})
        groups.append({"params": biases, "scale": scale * optimizer.bias_rate, "weight_decay": 0.0})
    return groups


def set_rate(sgd: torch.optim.SGD, recipe: Recipe, step: int, steps: int, steps_per_epoch: int) -> float:
    """Set every group's learning rate for `step`, and return that of the weights."""
    rate = recipe.optimizer.learning_rate * rate_factor(recipe.schedule, step, steps, steps_per_epoch)
    for group in sgd.param_groups:
        group["lr"] = rate * group["scale"]
    return rate


def average_weights(average: Network, network: Network, decay: float, step: int) -> None:
    """Move `average` towards the weights of `network`; in the first steps faster, so that it forgets where it began."""
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
