"""Settings that change nothing: told where they were set, and only there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nin_onnx.train import recipe, trainer
from nin_onnx.train.recipe import Recipe, unmeant

Recipes = Callable[..., Recipe]


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["train.test_curve=true", "train.validation=9"],
            "train.test_curve changes nothing, since with train.validation the test",
        ),
        (["schedule.drops=[2]"], "schedule.drops changes nothing, since schedule.kind is 'one-cycle', not 'stepped'"),
        (["schedule.drops=[9]", "schedule.kind=plateau"], "schedule.drops changes nothing, since schedule.kind is 'plateau'"),
        (["network.std=0.01"], "network.std changes nothing, since network.initialisation is 'he', not 'normal'"),
        (["network.layer_std={conv1 = 0.01}"], "network.layer_std changes nothing, since network.initialisation is 'he'"),
        (["schedule.kind=stepped", "schedule.drops=[2, 3, 200]"], "the rate will not fall after epoch 3, 200 (schedule.drops), "),
    ],
)
def test_a_setting_that_another_one_leaves_without_effect_is_told(tiny_recipe: Recipes, overrides: list[str], line: str) -> None:
    (told,) = unmeant(tiny_recipe(*overrides))
    assert told.startswith(line)


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.test_curve=true"],
        ["train.validation=9"],
        ["schedule.kind=stepped", "schedule.drops=[2]"],
        ["network.initialisation=normal", "network.std=0.01", "network.layer_std={conv1 = 0.01}"],
    ],
)
def test_a_setting_that_has_its_effect_is_not_told(tiny_recipe: Recipes, overrides: list[str]) -> None:
    assert unmeant(tiny_recipe(*overrides)) == []


def test_every_shipped_recipe_means_what_it_says() -> None:
    assert [line for name in recipe.shipped() for line in unmeant(recipe.load(name))] == []


def test_a_training_begins_with_what_is_told(tmp_path: Path, tiny_recipe: Recipes) -> None:
    said: list[str] = []
    settings = tiny_recipe("train.epochs=1", "schedule.drops=[2]")
    trainer.train(settings, tmp_path / "run", on="cpu", echo=said.append)
    assert said[:1] == unmeant(settings)
