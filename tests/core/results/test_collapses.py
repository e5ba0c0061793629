"""Trainings that collapsed: what is recorded of each, and how it is read."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nin_onnx import cli
from nin_onnx.errors import NinOnnxError, TrainingError
from nin_onnx.recipe import Recipe, shipped
from nin_onnx.results import collapses
from nin_onnx.train.collapse import describe, record

RESULTS = Path(__file__).parents[3] / "results"
Recipes = Callable[..., Recipe]


def test_what_is_recorded_is_read_with_its_recipe_by_recipe_and_seed(tmp_path: Path, tiny_recipe: Recipes) -> None:
    recipe = tiny_recipe()
    described = describe(recipe, TrainingError("the training collapsed", 7), "cpu")
    for seed in (10, 9):
        record(tmp_path, recipe, seed, described)
    found = collapses.read(tmp_path)
    assert [(collapse.recipe, collapse.seed, collapse.step) for collapse in found] == [(recipe, 9, 7), (recipe, 10, 7)]
    assert found[0].summary["reason"] == "the training collapsed"
    assert found[0].summary["hardware"]["cores"] >= 1


def test_where_nothing_died_there_is_nothing_to_read(tmp_path: Path) -> None:
    assert collapses.read(tmp_path) == []


@pytest.mark.parametrize(
    "change", [None, {"seed": "one"}, {"step": "late"}, {"settings": {}}, {"recipe": "another"}, {"hardware": ...}], ids=str
)
def test_a_file_that_describes_no_death_is_named(change: dict[str, Any] | None, tmp_path: Path, tiny_recipe: Recipes) -> None:
    recipe = tiny_recipe()
    record(tmp_path, recipe, 0, describe(recipe, TrainingError("the training collapsed", 7), "cpu"))
    (file,) = (tmp_path / "dead").iterdir()
    content = {**json.loads(file.read_text()), **(change or {})}
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}) if change else "[")
    with pytest.raises(NinOnnxError, match=r"tiny-seed0\.json' does not describe a training that collapsed"):
        collapses.read(tmp_path)


def test_the_deaths_that_are_published_are_of_shipped_recipes_each_in_a_file_of_its_name() -> None:
    found = collapses.read(RESULTS)
    assert {collapse.recipe.name for collapse in found} <= {*shipped()}
    names = [f"{collapse.recipe.name}-seed{collapse.seed}.json" for collapse in found]
    assert sorted(names) == sorted(path.name for path in (RESULTS / "dead").iterdir())
    assert {"cifar10-no-dropout-seed0.json", "cifar10-no-dropout-seed1.json"} <= {*names}


def test_as_json_train_tells_a_death_so_that_another_program_can_go_on_with_another_seed(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_recipe()
    settings = ["--set", "optimizer.learning_rate=1e30"]
    line = [
        "nin-onnx",
        "train",
        str(tmp_path / "tiny.toml"),
        *settings,
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "run"),
        "--json",
    ]
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    died = json.loads(said.out)["died"]
    assert end.value.code == 1
    assert died["step"] == 4
    assert f"error: {died['reason']}" in said.err
