"""Interrupted runs: what is kept, and that going on is as if nothing had happened."""

import csv
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nin_onnx import data
from nin_onnx.errors import Interrupted, NinOnnxError, RunError
from nin_onnx.train import checkpoint, trainer
from nin_onnx.train.learner import Learner
from nin_onnx.train.recipe import Recipe

Recipes = Callable[..., Recipe]
STEPS = 4  # an epoch of the tiny data set
SETTINGS = {
    "all on": (),
    "no averaging": ("schedule.average=0",),
    "no momentum": ("optimizer.momentum=0",),
    "stepped": ("schedule.kind=stepped", "schedule.drops=[1, 2]"),
    "bf16": ("train.precision=bf16",),
    "validation": ("train.validation=14",),
}


def quiet(line: str) -> None:
    pass


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Interrupted]:
    """Run a training until the user stops it in step `number`."""

    def stopped(number: int, run: Callable[[], Any]) -> Interrupted:
        step = Learner.step

        def interrupted(self: Learner, images: torch.Tensor, labels: torch.Tensor, now: int) -> Any:
            if now == number:
                raise KeyboardInterrupt
            return step(self, images, labels, now)

        with monkeypatch.context() as patch:
            patch.setattr(Learner, "step", interrupted)
            with pytest.raises(Interrupted) as raised:
                run()
        return raised.value

    return stopped


def rows(folder: Path) -> list[dict[str, str]]:
    """The lines of `metrics.csv` without what the clock decides."""
    with (folder / "metrics.csv").open() as file:
        return [
            {key: value for key, value in row.items() if key not in ("seconds", "images_per_second")}
            for row in csv.DictReader(file)
        ]


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_run_that_was_stopped_twice_ends_as_an_undisturbed_one(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: Callable[..., Interrupted], settings: tuple[str, ...]
) -> None:
    recipe = tiny_recipe("train.epochs=4", *settings)
    undisturbed, run = tmp_path / "undisturbed", tmp_path / "run"
    whole = trainer.train(recipe, undisturbed, seed=5, on="cpu", echo=quiet)
    steps = 3 if "train.validation=14" in settings else STEPS
    stop_at(steps + 2, lambda: trainer.train(recipe, run, seed=5, on="cpu", echo=quiet))
    assert [row["epoch"] for row in rows(run)] == ["1"]
    stop_at(3 * steps, lambda: trainer.resume(run, on="cpu", echo=quiet))
    resumed = trainer.resume(run, on="cpu", echo=quiet)
    assert (run / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()
    assert [row["epoch"] for row in rows(run)] == ["1", "2", "3", "4"]
    assert rows(run) == rows(undisturbed)
    timed = {"seconds", "images_per_second"}
    assert {key: value for key, value in resumed.items() if key not in timed} == {
        key: value for key, value in whole.items() if key not in timed
    }
    assert not (run / "state.safetensors").exists()


def test_a_stopped_run_says_how_to_go_on(tmp_path: Path, tiny_recipe: Recipes, stop_at: Callable[..., Interrupted]) -> None:
    run = tmp_path / "run"
    error = stop_at(2 * STEPS + 1, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet))
    assert str(error) == f"stopped after 2 of 3 epochs: go on with nin-onnx train --resume {run}"
    assert {path.name for path in run.iterdir()} == {"recipe.toml", "metrics.csv", "state.safetensors"}


def test_a_run_that_was_stopped_in_its_first_epoch_leaves_nothing_and_says_so(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: Callable[..., Interrupted]
) -> None:
    run = tmp_path / "run"
    error = stop_at(1, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet))
    assert str(error) == "stopped after 0 of 3 epochs: nothing is kept"
    assert not run.exists()
    with pytest.raises(RunError, match=r"run' holds no state.safetensors to resume from: train it afresh with another --out$"):
        trainer.resume(run, on="cpu", echo=quiet)


def test_a_run_that_was_stopped_while_it_was_tested_can_be_ended(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "count_errors", stopped)
        with pytest.raises(Interrupted, match=r"^stopped after 3 of 3 epochs: go on with "):
            trainer.train(tiny_recipe(), tmp_path / "run", on="cpu", echo=quiet)
    assert trainer.resume(tmp_path / "run", on="cpu", echo=quiet)["epochs"] == 3


def test_a_run_whose_metrics_were_written_just_before_it_was_killed_has_no_line_twice(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = checkpoint.write

    def killed(path: Path, tensors: Any, description: Any) -> None:
        if path.name == "model.safetensors" or len(description["epochs"]) == 3:
            raise KeyboardInterrupt
        write(path, tensors, description)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", killed)
        with pytest.raises(Interrupted):
            trainer.train(tiny_recipe(), tmp_path / "run", on="cpu", echo=quiet)
    trainer.resume(tmp_path / "run", on="cpu", echo=quiet)
    assert [row["epoch"] for row in rows(tmp_path / "run")] == ["1", "2", "3"]


def test_a_full_disk_leaves_the_epoch_before_to_go_on_from(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    trainer.train(tiny_recipe(), undisturbed, on="cpu", echo=quiet)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def echo(line: str) -> None:  # after the first epoch
        patch.setattr(os, "fsync", full)

    with (
        monkeypatch.context() as patch,
        pytest.raises(NinOnnxError, match=r"^cannot write '.*' \(No space left on device\): free"),
    ):
        trainer.train(tiny_recipe(), run, on="cpu", echo=echo)
    assert {path.name for path in run.iterdir()} == {"recipe.toml", "metrics.csv", "state.safetensors"}
    trainer.resume(run, on="cpu", echo=quiet)
    assert (run / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()


def test_an_ended_run_is_not_resumed(tmp_path: Path, tiny_recipe: Recipes) -> None:
    trainer.train(tiny_recipe("train.epochs=1"), tmp_path / "run", on="cpu", echo=quiet)
    with pytest.raises(RunError, match=r"^the run '.*run' has ended: nin-onnx export .*run$"):
        trainer.resume(tmp_path / "run", on="cpu", echo=quiet)


def _truncated(state: Path) -> None:
    state.write_bytes(state.read_bytes()[:-10])


def _foreign(state: Path) -> None:
    state.write_bytes(b"PK\x03\x04" * 10)


def _of_a_model(state: Path) -> None:
    tensors, description = checkpoint.read(state)
    checkpoint.write(state, {name.replace("/", "."): tensor for name, tensor in tensors.items()}, description)


def _without_seed(state: Path) -> None:
    tensors, description = checkpoint.read(state)
    checkpoint.write(state, tensors, {"epochs": description["epochs"]})


def _no_table(state: Path) -> None:
    tensors, _ = checkpoint.read(state)
    checkpoint.write(state, tensors, ["epochs"])  # type: ignore[arg-type]


def _unknown_figures(state: Path) -> None:
    tensors, description = checkpoint.read(state)
    checkpoint.write(state, tensors, {**description, "epochs": [{"epoch": 1}]})


def _without_average(state: Path) -> None:
    tensors, description = checkpoint.read(state)
    checkpoint.write(state, {name: tensor for name, tensor in tensors.items() if "average" not in name}, description)


@pytest.mark.parametrize(
    "spoil", [_truncated, _foreign, _of_a_model, _without_seed, _no_table, _unknown_figures, _without_average]
)
def test_a_state_that_does_not_fit_is_named(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: Callable[..., Interrupted], spoil: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    stop_at(STEPS, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet))
    spoil(run / "state.safetensors")
    with pytest.raises(RunError, match=r"^'.*state.safetensors' (is no nin-onnx checkpoint|cannot be resumed here) \("):
        trainer.resume(run, on="cpu", echo=quiet)


def test_a_state_beside_another_recipe_is_named(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: Callable[..., Interrupted]
) -> None:
    run = tmp_path / "run"
    stop_at(STEPS, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet))
    recipe = run / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("average = 0.9", "average = 0.0"))
    with pytest.raises(RunError, match=r"^'.*state.safetensors' cannot be resumed here"):
        trainer.resume(run, on="cpu", echo=quiet)


def test_a_run_does_not_go_on_with_another_data_set(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: Callable[..., Interrupted], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    stop_at(STEPS, lambda: trainer.train(tiny_recipe("train.epochs=2"), run, on="cpu", echo=quiet))
    load = data.load
    monkeypatch.setattr(data, "load", lambda *given, **more: load(*given, **more)[1:])
    with pytest.raises(RunError, match=r"its dataset was [0-9a-f]{64}, here it is [0-9a-f]{64}"):
        trainer.resume(run, on="cpu", echo=quiet)


def test_a_run_does_not_go_on_in_another_precision(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: Callable[..., Interrupted], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    stop_at(STEPS, lambda: trainer.train(tiny_recipe("train.epochs=2"), run, on="cpu", echo=quiet))
    monkeypatch.setattr("nin_onnx.train.learner.precision", lambda name, device: torch.bfloat16)
    with pytest.raises(RunError, match=r"its precision was torch\.float32, here it is torch\.bfloat16"):
        trainer.resume(run, on="cpu", echo=quiet)
