"""Settings that change nothing: told where they were set, and only there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nin_onnx import recipe
from nin_onnx.recipe import Recipe
from nin_onnx.recipe import ineffective as ineffective
from nin_onnx.train import trainer

Recipes = Callable[..., Recipe]


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["train.test_curve=true", "train.validation=9"],
            "train.test_curve changes nothing, since with train.validation the test",
        ),
        (["schedule.milestones=[2]"], "schedule.milestones changes nothing, since schedule.kind is 'one-cycle', not 'stepped'"),
        (
            ["schedule.milestones=[9]", "schedule.kind=plateau"],
            "schedule.milestones changes nothing, since schedule.kind is 'plateau'",
        ),
        (["network.std=0.01"], "network.std changes nothing, since network.initialization is 'he', not 'normal'"),
        (["network.layer_std={conv1 = 0.01}"], "network.layer_std changes nothing, since network.initialization is 'he'"),
        (
            ["schedule.kind=stepped", "schedule.milestones=[2, 3, 200]"],
            "the learning rate will not fall after epoch 3, 200 (schedule.milestones), ",
        ),
    ],
)
def test_a_setting_that_another_one_leaves_without_effect_is_told(tiny_recipe: Recipes, overrides: list[str], line: str) -> None:
    (told,) = ineffective(tiny_recipe(*overrides))
    assert told.startswith(line)


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.test_curve=true"],
        ["train.validation=9"],
        ["schedule.kind=stepped", "schedule.milestones=[2]"],
        ["network.initialization=normal", "network.std=0.01", "network.layer_std={conv1 = 0.01}"],
    ],
)
def test_a_setting_that_has_its_effect_is_not_told(tiny_recipe: Recipes, overrides: list[str]) -> None:
    assert ineffective(tiny_recipe(*overrides)) == []


def test_every_shipped_recipe_means_what_it_says() -> None:
    assert [line for name in recipe.shipped() for line in ineffective(recipe.load(name))] == []


def test_a_training_begins_with_what_is_told(tmp_path: Path, tiny_recipe: Recipes) -> None:
    said: list[str] = []
    settings = tiny_recipe("train.epochs=1", "schedule.milestones=[2]")
    trainer.train(settings, tmp_path / "run", on="cpu", echo=said.append)
    assert said[:1] == ineffective(settings)
