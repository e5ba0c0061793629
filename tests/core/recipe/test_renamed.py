"""Recipes that were written with the names of before: files, `--set`, run folders."""

import tomllib
from pathlib import Path

import pytest

from nin_onnx import recipe
from nin_onnx.errors import RecipeError
from nin_onnx.recipe.renamed import KEYS, STEPS
from nin_onnx.run import Run

OLD = """\
dataset = "cifar10"
experiment = "cifar10-augmented"
preprocessing = ["scale", "standardise"]

[network]
architecture = "nin-cifar10"
last_relu = false
initialisation = "he"

[augmentation]
padding = 4
flip = true

[train]
epochs = 50

[optimizer]
kind = "muon"
learning_rate = 0.02
momentum = 0.95
weight_decay = 0.05
last_layer_rate = 1.0
label_smoothing = 0.1

[schedule]
kind = "one-cycle"
average = 0.999
"""
"""A recipe as it shipped once, without its comments."""
VALUES = {
    "network.initialisation": "normal",
    "optimizer.bias_rate": "3.0",
    "optimizer.last_layer_rate": "0.7",
    "schedule.drops": "[1, 2]",
    "schedule.warm_up": "0.25",
    "schedule.average": "0.75",
}


def test_a_file_as_it_shipped_once_is_the_recipe_that_ships_now(tmp_path: Path) -> None:
    file = tmp_path / "cifar10-augmented-modern.toml"
    file.write_text(OLD)
    assert recipe.load(str(file)) == recipe.load("cifar10-augmented-modern")


def test_each_key_that_was_renamed_is_tried_here() -> None:
    assert set(VALUES) == set(KEYS)
    assert STEPS == {"standardise": "standardize"}


@pytest.mark.parametrize("old", VALUES)
def test_an_old_key_overrides_what_the_new_one_does(old: str) -> None:
    changed = recipe.load("digits", [f"{old}={VALUES[old]}"])
    assert changed == recipe.load("digits", [f"{KEYS[old]}={VALUES[old]}"])
    assert {**vars(changed), "name": "digits"} != vars(recipe.load("digits"))


def test_an_old_step_is_the_new_one_in_an_override() -> None:
    assert recipe.load("mnist", ['preprocessing=["standardise"]']).preprocessing == ("standardize",)


def test_a_run_of_before_has_its_recipe(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(f'name = "cifar10-augmented-modern"\n{OLD}')
    assert Run(tmp_path).recipe() == recipe.load("cifar10-augmented-modern")


def test_what_is_written_has_the_names_of_now() -> None:
    written = recipe.to_toml(recipe.from_dict({"name": "old", **tomllib.loads(OLD)}, "old"))
    assert [name.partition(".")[2] for name in KEYS if f"{name.partition('.')[2]} =" in written] == []
    assert "standardise" not in written


def test_both_names_of_a_key_in_one_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "both.toml"
    file.write_text(OLD.replace('initialisation = "he"', 'initialisation = "he"\ninitialization = "normal"'))
    with pytest.raises(RecipeError, match=r"unknown key 'network\.initialisation': did you mean 'network\.initialization'\?"):
        recipe.load(str(file))
