"""The learning rate over time, and the moving average of the weights."""

import math
from collections.abc import Sequence
from itertools import dropwhile

import torch
from torch import Tensor

from nin_onnx.recipe import Recipe, ScheduleSettings
from nin_onnx.train.network import Network

__all__ = ["average_share", "average_weights", "ended", "plateaus", "rate_factor"]


DROPS = 2  # `plateau`: the last rate is 1 % of the first (paper §4)


def rate_factor(schedule: ScheduleSettings, step: int, steps: int, steps_per_epoch: int, stops: int = 0) -> float:
    """What the learning rate is multiplied by at `step` (from 0) of `steps`: 1 at the schedule's highest.

    `stops` are the `plateaus` of the epochs before.
    """
    if schedule.kind == "stepped":
        epoch = step // steps_per_epoch
        return 0.1 ** sum(epoch >= milestone for milestone in schedule.milestones)
    if schedule.kind == "plateau":
        return 0.1**stops
    rising = schedule.warmup * steps
    if step < rising:
        return (step + 1) / (math.floor(rising) + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))


def plateaus(errors: Sequence[float], patience: int, classes: int) -> int:
    """How often the training `errors`, in per cent, stayed at or above their lowest for `patience` epochs.

    After each time the lowest is sought anew. Epochs before the first that is better than nine tenths of guessing's error do
    not count: the author's first weights may begin with a long plateau, and what has not begun has not stopped.
    """
    found, lowest, waited = 0, math.inf, 0
    guessing = 100 * (1 - 1 / classes)
    for error in dropwhile(lambda error: error > 0.9 * guessing, errors):
        lowest, waited = (error, 0) if error < lowest else (lowest, waited + 1)
        if waited == patience:
            found, lowest, waited = found + 1, math.inf, 0
    return found


def ended(recipe: Recipe, errors: Sequence[float], classes: int) -> bool:
    """Whether the epochs with these training errors were the last."""
    if len(errors) >= recipe.train.epochs:
        return True
    return recipe.schedule.kind == "plateau" and plateaus(errors, recipe.schedule.patience, classes) > DROPS


def average_share(decay: float, step: int) -> float:
    """Return the share of the new weights in their moving average: larger in the first steps, so that it forgets its start."""
    return 1 - min(decay, (1 + step) / (10 + step))


def average_weights(average: Network, network: Network, share: Tensor) -> None:
    """Move `average` by its `share` [] towards the weights of `network`."""
    with torch.no_grad():
        ours: list[Tensor] = list(average.parameters())
        theirs: list[Tensor] = list(network.parameters())
        way = torch._foreach_sub(theirs, ours)
        torch._foreach_mul_(way, share)
        torch._foreach_add_(ours, list(way))
