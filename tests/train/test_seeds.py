"""One recipe with several seeds."""

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nin_onnx import cli
from nin_onnx.errors import Interrupted, RunError, TrainingError
from nin_onnx.recipe import Recipe
from nin_onnx.train import running, trainer
from nin_onnx.train.learner import Learner
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
    save = running.RunningTraining.save

    def stopped(self: Any) -> None:
        save(self)
        if self.learner.seed == 1 and self.state.epochs:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running.RunningTraining, "save", stopped)
        with pytest.raises(Interrupted, match=r"--resume .*seed1 --device cpu; the command as it was given resumes all seeds$"):
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


def dying(monkeypatch: pytest.MonkeyPatch, seeds: set[int]) -> None:
    """The networks of `seeds` come to life without a gradient."""
    begin = Learner.begin

    def begun(self: Learner, seed: int) -> None:
        begin(self, seed)
        if seed in seeds:
            with torch.no_grad():
                self.network.get_parameter("conv1.bias").fill_(-1000)

    monkeypatch.setattr(Learner, "begin", begun)


LONG = ("train.epochs=6", "schedule.ema_decay=0")  # a training is seen to collapse after 20 steps


def test_a_seed_that_dies_does_not_stop_the_others(tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
    dying(monkeypatch, {0, 2})
    summary = train(tiny_recipe(*LONG), tmp_path / "runs", range(4))
    assert summary["seeds"] == [1, 3]
    assert summary["test_error"]["each"] == [run["test"]["error"] for run in summary["runs"]]
    assert [*summary["died"]] == ["0", "2"]
    assert all(reason.startswith("the training collapsed at step ") for reason in summary["died"].values())
    assert json.loads((tmp_path / "runs" / "summary.json").read_text()) == json.loads(json.dumps(summary))


def test_where_every_seed_dies_the_reasons_are_told(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying(monkeypatch, {0, 1})
    with pytest.raises(
        TrainingError,
        match=r"^the training collapsed with every seed: 0: the training collapsed at step .*; 1: the training collapsed at",
    ):
        train(tiny_recipe(*LONG), tmp_path / "runs", range(2))
    assert not (tmp_path / "runs" / "summary.json").exists()


def test_the_command_ends_as_failed_where_a_seed_died_and_tells_the_others(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dying(monkeypatch, {1})
    tiny_recipe()
    settings = [part for setting in LONG for part in ("--set", setting)]
    line = ["train", str(tmp_path / "tiny.toml"), "--seeds", "3", *settings, "--device", "cpu", "--out", str(tmp_path / "runs")]
    monkeypatch.setattr(sys, "argv", ["nin-onnx", *line])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert end.value.code == 1
    assert said.err == "error: seeds whose training collapsed, left out of the mean: 1\n"
    assert " over 2 seeds: " in said.out.splitlines()[-1]


def test_runs_of_another_recipe_are_not_mixed_in(tmp_path: Path, tiny_recipe: Recipes) -> None:
    train(tiny_recipe("train.epochs=1"), tmp_path / "runs", range(1))
    with pytest.raises(RunError, match=r"^'.*seed0' is a run of another recipe: choose another --out$"):
        train(tiny_recipe("train.epochs=2"), tmp_path / "runs", range(1))
