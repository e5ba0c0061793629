"""The learning rate over time, the paper's groups of parameters, and the moving average of the weights."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from nin_onnx.train.network import Network
from nin_onnx.train.recipe import Optimizer, Recipe, Schedule

__all__ = ["DROPS", "average_weights", "ended", "parameter_groups", "plateaus", "rate_factor", "set_rate"]


DROPS = 2  # `plateau`: the last rate is 1 % of the first (paper §4)


def rate_factor(schedule: Schedule, step: int, steps: int, steps_per_epoch: int, errors: Sequence[float] = ()) -> float:
    """What the learning rate is multiplied by at `step` (from 0) of `steps`: 1 at the schedule's highest.

    `errors` are the training errors of the epochs before.
    """
    if schedule.kind == "stepped":
        epoch = step // steps_per_epoch
        return 0.1 ** sum(epoch >= drop for drop in schedule.drops)
    if schedule.kind == "plateau":
        return 0.1 ** plateaus(errors, schedule.patience)
    rising = schedule.warm_up * steps
    if step < rising:
        return (step + 1) / (math.floor(rising) + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))


def plateaus(errors: Sequence[float], patience: int) -> int:
    """How often `errors` stayed at or above their lowest for `patience` epochs; after each time the lowest is sought anew."""
    found, lowest, waited = 0, math.inf, 0
    for error in errors:
        lowest, waited = (error, 0) if error < lowest else (lowest, waited + 1)
        if waited == patience:
            found, lowest, waited = found + 1, math.inf, 0
    return found


def ended(recipe: Recipe, errors: Sequence[float]) -> bool:
    """Whether the epochs with these training errors were the last."""
    if len(errors) >= recipe.train.epochs:
        return True
    return recipe.schedule.kind == "plateau" and plateaus(errors, recipe.schedule.patience) > DROPS


def parameter_groups(network: Network, optimizer: Optimizer) -> list[dict[str, Any]]:
    """Weights and biases, of the last layer and of the others, each with its own rate (author's released parameters).

    `scale` is the group's learning rate over that of the weights; biases do not decay.
    """
    *others, last = network.weighted()
    groups: list[dict[str, Any]] = []
    for layers, scale in ((others, 1.0), ([last], optimizer.last_layer_rate)):
        weights = [layer.weight for layer in layers]
        biases = [layer.bias for layer in layers]
        groups.append({"params": weights, "scale": scale, "weight_decay": optimizer.weight_decay})
        groups.append({"params": biases, "scale": scale * optimizer.bias_rate, "weight_decay": 0.0})
    return groups


def set_rate(sgd: torch.optim.SGD, rate: float) -> None:
    """Set the learning rate of the weights, and every other group's with it."""
    for group in sgd.param_groups:
        group["lr"] = rate * group["scale"]


def average_weights(average: Network, network: Network, decay: float, step: int) -> None:
    """Move `average` towards the weights of `network`; in the first steps faster, so that it forgets where it began."""
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
