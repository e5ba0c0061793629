"""The learning rate over time, and the exponential moving average (EMA) of the weights."""

import math
from collections.abc import Sequence
from itertools import dropwhile

import torch
from torch import Tensor

from nin_onnx.recipe import Recipe, ScheduleSettings
from nin_onnx.train.network import Network

__all__ = ["ema_share", "ended", "lr_factor", "plateaus", "update_ema"]


MAX_DROPS = 2  # `plateau`: the last learning rate is 1 % of the first (paper §4)


def lr_factor(schedule: ScheduleSettings, step: int, steps: int, steps_per_epoch: int, plateaus: int = 0) -> float:
    """Return what the learning rate is multiplied by at `step` (from 0) of `steps`: 1 at its highest.

    `plateaus` is the number of them in the epochs before.
    """
    if schedule.kind == "stepped":
        epoch = step // steps_per_epoch
        return 0.1 ** sum(epoch >= milestone for milestone in schedule.milestones)
    if schedule.kind == "plateau":
        return 0.1**plateaus
    rising = schedule.warmup * steps
    if step < rising:
        return (step + 1) / (math.floor(rising) + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))


def plateaus(errors: Sequence[float], patience: int, classes: int) -> int:
    """Return how often the training `errors`, in per cent, stayed at or above their lowest for `patience` epochs.

    After each time the search for the lowest starts anew. Epochs before the first that is better than nine tenths of the error
    of guessing do not count: with the author's first weights, training may begin with a long plateau.
    """
    found, lowest, waited = 0, math.inf, 0
    guessing = 100 * (1 - 1 / classes)
    for error in dropwhile(lambda error: error > 0.9 * guessing, errors):
        lowest, waited = (error, 0) if error < lowest else (lowest, waited + 1)
        if waited == patience:
            found, lowest, waited = found + 1, math.inf, 0
    return found


def ended(recipe: Recipe, errors: Sequence[float], classes: int) -> bool:
    """Return whether the training is over after epochs with these training `errors`."""
    if len(errors) >= recipe.train.epochs:
        return True
    return recipe.schedule.kind == "plateau" and plateaus(errors, recipe.schedule.patience, classes) > MAX_DROPS


def ema_share(decay: float, step: int) -> float:
    """Return the weight of the new values in the exponential moving average; it is larger in the first steps."""
    return 1 - min(decay, (1 + step) / (10 + step))


def update_ema(ema: Network, network: Network, share: Tensor) -> None:
    """Move the weights of `ema` by `share` [] towards those of `network`."""
    with torch.no_grad():
        averages: list[Tensor] = list(ema.parameters())
        weights: list[Tensor] = list(network.parameters())
        differences = torch._foreach_sub(weights, averages)
        torch._foreach_mul_(differences, share)
        torch._foreach_add_(averages, list(differences))
