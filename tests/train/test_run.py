"""A run's folder: what may be made, what is there, what is said where it is not."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nin_onnx.errors import RunError
from nin_onnx.train.recipe import Recipe
from nin_onnx.train.run import Epoch, Run


def test_a_new_run_holds_the_resolved_recipe(tmp_path: Path, tiny_recipe: Callable[..., Recipe]) -> None:
    run, recipe = Run(tmp_path / "runs" / "one"), tiny_recipe("train.epochs=7", "name=seven")
    run.create(recipe)
    assert [path.name for path in run.folder.iterdir()] == ["recipe.toml"]
    assert run.recipe() == recipe


def test_an_empty_folder_may_become_a_run(tmp_path: Path, tiny_recipe: Callable[..., Recipe]) -> None:
    run = Run(tmp_path / "empty")
    run.folder.mkdir()
    run.create(tiny_recipe())
    assert run.recipe() == tiny_recipe()


@pytest.mark.parametrize("content", ["recipe.toml", ".hidden", "state.safetensors"])
def test_what_is_there_is_not_overwritten(tmp_path: Path, tiny_recipe: Callable[..., Recipe], content: str) -> None:
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    (run.folder / content).write_text("kept")
    with pytest.raises(RunError, match=r"run' is there already, and nothing is overwritten: choose another --out") as raised:
        run.create(tiny_recipe())
    assert (f"nin-onnx train --resume {run.folder}" in str(raised.value)) == (content == "state.safetensors")
    assert [(path.name, path.read_text()) for path in run.folder.iterdir()] == [(content, "kept")]


def test_a_file_is_no_place_for_a_run(tmp_path: Path, tiny_recipe: Callable[..., Recipe]) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(RunError, match="is there already"):
        Run(tmp_path / "file").create(tiny_recipe())
    assert (tmp_path / "file").read_text() == "kept"


def test_what_is_missing_to_a_trained_run_is_said_with_the_command_that_makes_it(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with pytest.raises(RunError, match=r"run' is no run folder: make one with nin-onnx train RECIPE --out .*run$"):
        run.trained()
    run.folder.mkdir()
    with pytest.raises(RunError, match=r"run' holds no checkpoint \(model.safetensors\): make one with nin-onnx train RECIPE"):
        run.trained()
    run.state.touch()
    with pytest.raises(RunError, match=r"run' has not ended: finish it with nin-onnx train --resume .*run$"):
        run.trained()
    run.model.touch()
    assert run.trained() == run.model


def test_metrics_have_a_line_for_each_epoch_and_a_gap_for_what_was_not_measured(tmp_path: Path) -> None:
    epochs = [Epoch(1, 0.1, 2.25, 81.5, None, 12.5, 4000.0), Epoch(2, 1e-5, 1 / 3, 0.0, 10.0, 12.25, 4081.632653)]
    Run(tmp_path).write_metrics(epochs)
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [row["validation_error"] for row in rows] == ["", "10"]
    for key in ("learning_rate", "train_loss", "train_error", "seconds", "images_per_second"):
        assert [float(row[key]) for row in rows] == pytest.approx([getattr(epoch, key) for epoch in epochs], rel=1e-5)


def test_the_summary_is_json(tmp_path: Path) -> None:
    Run(tmp_path).write_summary({"recipe": "é", "test": {"errors": 3}})
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")) == {"recipe": "é", "test": {"errors": 3}}
