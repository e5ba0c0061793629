"""One recipe with several seeds."""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nin_onnx.errors import Interrupted, RunError
from nin_onnx.train import trainer
from nin_onnx.train.recipe import Recipe
from nin_onnx.train.seeds import train_seeds

Recipes = Callable[..., Recipe]


def quiet(line: str) -> None:
    pass


def train(recipe: Recipe, folder: Path, seeds: range) -> dict[str, Any]:
    return train_seeds(recipe, folder, seeds, on="cpu", echo=quiet)


def test_mean_and_standard_deviation_are_those_of_the_runs_test_errors(tmp_path: Path, tiny_recipe: Recipes) -> None:
    recipe = tiny_recipe("train.epochs=4")
    summary = train(recipe, tmp_path / "runs", range(2, 5))
    errors = [trainer.train(recipe, tmp_path / str(seed), seed=seed, on="cpu", echo=quiet)["test"]["error"] for seed in (2, 3, 4)]
    assert len(set(errors)) > 1
    assert summary["seeds"] == [2, 3, 4]
    assert summary["test_error"]["each"] == errors
    assert summary["test_error"]["mean"] == pytest.approx(statistics.mean(errors))
    assert summary["test_error"]["standard_deviation"] == pytest.approx(statistics.stdev(errors))
    assert json.loads((tmp_path / "runs" / "summary.json").read_text()) == json.loads(json.dumps(summary))


def test_with_validation_images_it_is_their_error(tmp_path: Path, tiny_recipe: Recipes) -> None:
    summary = train(tiny_recipe("train.epochs=1", "train.validation=20"), tmp_path / "runs", range(2))
    assert summary["validation_error"]["each"] == [run["validation_error"] for run in summary["runs"]]
    assert "test_error" not in summary


def test_one_seed_has_no_standard_deviation(tmp_path: Path, tiny_recipe: Recipes) -> None:
    summary = train(tiny_recipe("train.epochs=1"), tmp_path / "runs", range(1))
    assert summary["test_error"]["standard_deviation"] is None


def test_the_same_call_again_keeps_what_has_ended_and_goes_on_with_what_was_stopped(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe("train.epochs=2")
    expected = train(recipe, tmp_path / "undisturbed", range(3))
    save = trainer._Training.save

    def stopped(self: Any) -> None:
        save(self)
        if self.learner.seed == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer._Training, "save", stopped)
        with pytest.raises(Interrupted):
            train(recipe, tmp_path / "runs", range(3))
    first = tmp_path / "runs" / "seed0" / "model.safetensors"
    before = first.stat().st_mtime_ns
    assert (tmp_path / "runs" / "seed1" / "state.safetensors").exists()
    summary = train(recipe, tmp_path / "runs", range(3))
    assert first.stat().st_mtime_ns == before
    assert summary["test_error"] == expected["test_error"]
    for seed in range(3):
        one, other = (tmp_path / folder / f"seed{seed}" / "model.safetensors" for folder in ("runs", "undisturbed"))
        assert one.read_bytes() == other.read_bytes()


def test_runs_of_another_recipe_are_not_mixed_in(tmp_path: Path, tiny_recipe: Recipes) -> None:
    train(tiny_recipe("train.epochs=1"), tmp_path / "runs", range(1))
    with pytest.raises(RunError, match=r"^'.*seed0' is a run of another recipe: choose another --out$"):
        train(tiny_recipe("train.epochs=2"), tmp_path / "runs", range(1))
