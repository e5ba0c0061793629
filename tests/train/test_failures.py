"""Trainings that fail: dead ReLUs, which are told from a plateau, and a loss that is not a number."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nin_onnx.errors import TrainingError
from nin_onnx.recipe import Recipe
from nin_onnx.train import learner, trainer
from nin_onnx.train.initialization import initialize
from nin_onnx.train.network import Network

Recipes = Callable[..., Recipe]
DEAD = (
    r"^the training collapsed at step \d+ \(dead ReLUs\): a whole layer is 0 after its ReLU .* "
    r"the loss stays at ln 10 = 2.3026; start again with "
)


def train(recipe: Recipe, folder: Path) -> dict[str, Any]:
    return trainer.train(recipe, folder, on="cpu", echo=lambda line: None)


@pytest.fixture
def switch_off(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a layer begin with biases far below 0, so that its ReLU is off for every image."""

    def off(layer: str) -> None:
        def initialized(network: Network, *settings: Any) -> None:
            initialize(network, *settings)
            with torch.no_grad():
                network.get_parameter(f"{layer}.bias").fill_(-1000)

        monkeypatch.setattr(learner, "initialize", initialized)

    return off


def test_a_network_whose_class_maps_are_all_0_is_reported_as_dead(
    tmp_path: Path, tiny_recipe: Recipes, switch_off: Callable[[str], None]
) -> None:
    switch_off("cccp6")
    with pytest.raises(TrainingError, match=DEAD):
        train(tiny_recipe("network.last_relu=true", "train.epochs=10"), tmp_path / "run")


@pytest.mark.parametrize("layer", ["conv1", "cccp4", "cccp5"])
def test_a_network_that_is_dead_further_in_is_reported_without_a_last_relu_too(
    tmp_path: Path, tiny_recipe: Recipes, switch_off: Callable[[str], None], layer: str
) -> None:
    switch_off(layer)
    with pytest.raises(TrainingError, match=DEAD):
        train(tiny_recipe("train.epochs=10"), tmp_path / "run")


def test_weights_so_small_that_all_vanishes_are_a_dead_network(tmp_path: Path, tiny_recipe: Recipes) -> None:
    with pytest.raises(TrainingError, match=DEAD):
        train(tiny_recipe("network.initialization=normal", "network.std=1e-12", "train.epochs=10"), tmp_path / "run")


def test_death_is_seen_soon_within_a_long_epoch(tmp_path: Path, tiny_recipe: Recipes, switch_off: Callable[[str], None]) -> None:
    switch_off("cccp6")
    with pytest.raises(TrainingError, match=r"collapsed at step 100 "):
        train(tiny_recipe("network.last_relu=true", "train.batch_size=1"), tmp_path / "run")  # 110 steps an epoch


def test_a_plateau_at_ln_10_with_living_maps_is_not_a_dead_network(tmp_path: Path, tiny_recipe: Recipes) -> None:
    small = ("network.initialization=normal", "network.std=0.003", "network.last_relu=true", "train.epochs=10")
    summary = train(tiny_recipe(*small, "optimizer.learning_rate=0.001"), tmp_path / "run")
    assert summary["train_loss"] == pytest.approx(math.log(10), abs=0.01)


@pytest.mark.parametrize("rate", ["10000.0", "1e+30"])
def test_a_loss_that_is_no_number_is_reported_with_the_learning_rate(tmp_path: Path, tiny_recipe: Recipes, rate: str) -> None:
    with pytest.raises(TrainingError, match=rf"^the loss became (nan|inf) by step \d+: lower .*_rate \({re.escape(rate)}\)$"):
        train(tiny_recipe(f"optimizer.learning_rate={rate}", "train.epochs=10"), tmp_path / "run")


def test_a_failed_training_keeps_no_model(tmp_path: Path, tiny_recipe: Recipes) -> None:
    with pytest.raises(TrainingError):
        train(tiny_recipe("optimizer.learning_rate=1e30"), tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert not (tmp_path / "run" / "summary.json").exists()
