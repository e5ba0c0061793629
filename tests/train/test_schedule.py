"""The learning rate, the paper's parameter groups, and the moving average."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nin_onnx.architecture import ARCHITECTURES
from nin_onnx.recipe import NetworkSettings, OptimizerSettings, Recipe, ScheduleSettings, TrainSettings
from nin_onnx.train.initialization import initialize
from nin_onnx.train.network import Network
from nin_onnx.train.schedule import ema_share, ended, lr_factor, plateaus, update_ema

PAPER = Recipe(
    "paper",
    "digits",
    NetworkSettings("nin-digits"),
    TrainSettings(10),
    OptimizerSettings(0.1),
    ScheduleSettings("stepped", milestones=(7,)),
)


def network(seed: int = 0) -> Network:
    made = Network(ARCHITECTURES["nin-digits"], last_relu=True, dropout=0)
    initialize(made, NetworkSettings("nin-digits", initialization="he"), torch.Generator().manual_seed(seed))
    return made


def test_the_stepped_rate_is_divided_by_10_after_each_drop_and_constant_between() -> None:
    schedule = ScheduleSettings("stepped", milestones=(4, 6))
    epochs = [{lr_factor(schedule, 7 * epoch + step, 7 * 9, 7) for step in range(7)} for epoch in range(9)]
    for epoch, expected in zip(epochs, [1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01], strict=True):
        assert [*epoch] == [pytest.approx(expected, rel=1e-12)]


def test_the_papers_cifar_schedule_ends_at_a_hundredth() -> None:
    """200 epochs, ÷10 for 30, ÷10 for 30; the final rate is 1 % of the first."""
    schedule = ScheduleSettings("stepped", milestones=(200, 230))
    factors = [lr_factor(schedule, step, 102_700, 395) for step in range(102_700)]
    assert [round(math.log10(factors[395 * epoch])) for epoch in range(260)] == [0] * 200 + [-1] * 30 + [-2] * 30
    assert factors[-1] == pytest.approx(0.01)


@given(st.floats(0, 0.9), st.integers(2, 400))
def test_one_cycle_rises_to_1_and_falls_to_nearly_0(warmup: float, steps: int) -> None:
    factors = [lr_factor(ScheduleSettings("one-cycle", warmup=warmup), step, steps, 1) for step in range(steps)]
    peak = int(np.argmax(factors))
    assert factors[peak] == 1
    assert abs(peak - warmup * steps) <= 1
    assert all(before < after for before, after in pairwise(factors[: peak + 1]))
    assert all(before >= after for before, after in pairwise(factors[peak:]))
    assert factors[0] > 0
    left = steps - warmup * steps  # length of the fall: 1 - cos(x) <= x²/2
    assert 0 <= factors[-1] <= max((math.pi / left) ** 2 / 4, (steps - 1 == peak))


def test_one_cycle_rises_in_equal_steps_and_is_halved_in_the_middle_of_the_fall() -> None:
    schedule = ScheduleSettings("one-cycle", warmup=0.2)
    factors = [lr_factor(schedule, step, 100, 10) for step in range(100)]
    np.testing.assert_allclose(factors[:21], np.arange(1, 22) / 21)
    assert factors[60] == pytest.approx(0.5)


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_moving_average_is_that_of_a_plain_loop(decay: float) -> None:
    averaged = network()
    expected = [parameter.detach().double().clone() for parameter in averaged.parameters()]
    for step in range(30):
        latest = network(seed=step + 1)
        share = min(decay, (1 + step) / (10 + step))  # the usual warm-up of a moving average
        expected = [
            share * old + (1 - share) * new.detach().double() for old, new in zip(expected, latest.parameters(), strict=True)
        ]
        update_ema(averaged, latest, torch.tensor(ema_share(decay, step)))
    for found, truth in zip(averaged.parameters(), expected, strict=True):
        torch.testing.assert_close(found.detach().double(), truth, rtol=0, atol=1e-6)


def test_averaging_leaves_the_trained_weights_as_they_are() -> None:
    averaged, trained = network(0), network(1)
    before = [parameter.detach().clone() for parameter in trained.parameters()]
    update_ema(averaged, trained, torch.tensor(ema_share(0.9, 100)))
    assert all(torch.equal(old, new) for old, new in zip(before, trained.parameters(), strict=True))


def test_a_plateau_is_as_many_epochs_without_a_new_lowest_error_as_patience_says() -> None:
    errors = [90, 90, 90, 90, 50, 40, 41, 40, 39, 39.5, 39, 42, 20, 20, 20, 20]
    assert [plateaus(errors[:end], 3, 10) for end in range(len(errors) + 1)] == [0] * 12 + [1] * 4 + [2]


@given(st.lists(st.floats(0, 80), max_size=40), st.integers(1, 5))
def test_plateaus_are_those_of_a_search_for_the_lowest_in_every_stretch(errors: list[float], patience: int) -> None:
    found, begin = 0, 0
    for end in range(1, len(errors) + 1):
        stretch = errors[begin:end]
        if len(stretch) - 1 - stretch.index(min(stretch)) >= patience:
            found, begin = found + 1, end
    assert plateaus(errors, patience, 10) == found


@pytest.mark.parametrize(("classes", "error"), [(10, 88.7), (100, 98.6), (2, 49.0)])
def test_a_plateau_at_the_level_of_guessing_is_no_end_of_learning(classes: int, error: float) -> None:
    assert plateaus([error] * 30, 3, classes) == 0
    assert plateaus([error] * 30 + [0.8 * error] * 4, 3, classes) == 1


def test_the_papers_rule_divides_the_rate_by_10_twice_and_ends_at_the_third_plateau() -> None:
    recipe = replace(PAPER, schedule=ScheduleSettings("plateau", patience=2), train=TrainSettings(50))
    errors: list[float] = []
    factors = []
    while not ended(recipe, errors, 10):
        factors.append(lr_factor(recipe.schedule, 0, 0, 1, plateaus(errors, 2, 10)))
        errors.append([50, 40, 40, 40, 30, 30, 30, 20, 20, 20][len(errors)])
    assert factors == pytest.approx([1] * 4 + [0.1] * 3 + [0.01] * 3)


def test_a_training_by_the_papers_rule_ends_at_its_number_of_epochs_at_the_latest() -> None:
    recipe = replace(PAPER, schedule=ScheduleSettings("plateau", patience=2), train=TrainSettings(3))
    assert [ended(recipe, [9.0, 8.0, 7.0][:n], 10) for n in range(4)] == [False, False, False, True]
