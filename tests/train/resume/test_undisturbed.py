"""Runs that were stopped, or killed: going on is as if nothing had happened."""

import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from nin_onnx.errors import Interrupted, RunError
from nin_onnx.recipe import Recipe
from nin_onnx.train import evaluation, trainer
from nin_onnx.train.learner import Learner
from nin_onnx.train.preprocessing import Preprocessing

if TYPE_CHECKING:
    from tests.train.resume.conftest import Rows, Same, Stop

Recipes = Callable[..., Recipe]
STEPS = 4  # an epoch of the tiny data set
SETTINGS = {
    "all on": (),
    "no averaging": ("schedule.ema_decay=0",),
    "no momentum": ("optimizer.momentum=0",),
    "muon": ("optimizer.kind=muon", "optimizer.learning_rate=0.02"),
    "stepped": ("schedule.kind=stepped", "schedule.milestones=[1, 2]"),
    "bf16": ("train.precision=bf16",),
    "validation": ("train.validation=14",),
}


def quiet(line: str) -> None:
    pass


class Killed(BaseException):
    """Stands for SIGKILL: no handler of ours is for it."""


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("places", [(5, 11), (0, 3), (4, 5)], ids=str)
def test_a_run_that_was_stopped_twice_ends_as_an_undisturbed_one(
    tmp_path: Path,
    tiny_recipe: Recipes,
    stop_at: "Stop",
    settings: tuple[str, ...],
    places: tuple[int, int],
    rows: "Rows",
    same: "Same",
) -> None:
    recipe = tiny_recipe("train.epochs=4", *settings)
    undisturbed, run = tmp_path / "undisturbed", tmp_path / "run"
    whole = trainer.train(recipe, undisturbed, seed=5, on="cpu", echo=quiet)
    first, second = places
    stop_at(first, lambda: trainer.train(recipe, run, seed=5, on="cpu", echo=quiet))
    stop_at(second, lambda: trainer.resume(run, on="cpu", echo=quiet))
    resumed = trainer.resume(run, on="cpu", echo=quiet)
    assert same(run, undisturbed)
    assert [row["epoch"] for row in rows(run)] == ["1", "2", "3", "4"]
    timed = {"seconds", "images_per_second"}
    assert {key: value for key, value in resumed.items() if key not in timed} == {
        key: value for key, value in whole.items() if key not in timed
    }
    assert {path.name for path in run.iterdir()} == {"recipe.toml", "metrics.csv", "model.safetensors", "summary.json"}


@pytest.mark.parametrize("number", range(12))
def test_a_run_that_was_killed_in_any_step_ends_as_an_undisturbed_one(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch, number: int, same: "Same"
) -> None:
    undisturbed, run = tmp_path / "undisturbed", tmp_path / "run"
    trainer.train(tiny_recipe(), undisturbed, on="cpu", echo=quiet)
    step = Learner.step

    def killed(self: Learner, rows: torch.Tensor, now: int) -> Any:
        if now == number:
            raise Killed
        return step(self, rows, now)

    monkeypatch.setattr(trainer, "SAVE_EVERY", 0)
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", killed)
        with pytest.raises(Killed):
            trainer.train(tiny_recipe(), run, on="cpu", echo=quiet)
    trainer.resume(run, on="cpu", echo=quiet)
    assert same(run, undisturbed)


def test_what_was_fitted_is_read_back_and_not_fitted_again(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: "Stop", monkeypatch: pytest.MonkeyPatch, same: "Same"
) -> None:
    """An eigenvalue routine may give other last bits in another process."""
    run, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    recipe = tiny_recipe('preprocessing=["gcn55", "zca"]')
    trainer.train(recipe, undisturbed, on="cpu", echo=quiet)
    stop_at(2, lambda: trainer.train(recipe, run, on="cpu", echo=quiet))
    monkeypatch.setattr(Preprocessing, "fit", None)
    trainer.resume(run, on="cpu", echo=quiet)
    assert same(run, undisturbed)


@pytest.mark.parametrize(
    ("number", "place"),
    [(2 * STEPS + 1, "at step 2 of 4 in epoch 3"), (2 * STEPS - 1, "after epoch 2"), (0, "at step 1 of 4 in epoch 1")],
)
def test_a_stopped_run_finishes_its_step_and_says_how_to_go_on(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: "Stop", number: int, place: str
) -> None:
    run = tmp_path / "run"
    error = stop_at(number, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet))
    assert str(error) == f"stopped {place} of 3: go on with nin-onnx train --resume {run} --device cpu"
    kept = {"recipe.toml", "preprocessing.safetensors", "state.safetensors"} | ({"metrics.csv"} if number >= 3 else set())
    assert {path.name for path in run.iterdir()} == kept


def test_the_command_that_goes_on_has_the_options_that_the_run_does_not_keep_and_a_shell_reads_it(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: "Stop"
) -> None:
    run, images = tmp_path / "my runs" / "a", tmp_path / "my images"
    error = stop_at(2, lambda: trainer.train(tiny_recipe(), run, on="cpu", data_dir=images, deterministic=True, echo=quiet))
    expected = ["nin-onnx", "train", "--resume", str(run), "--device", "cpu", "--data-dir", str(images), "--deterministic"]
    assert shlex.split(str(error).partition("go on with ")[2]) == expected


def test_a_second_ctrl_c_stops_at_once_and_leaves_the_last_state(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: "Stop", rows: "Rows", same: "Same"
) -> None:
    run, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    trainer.train(tiny_recipe(), undisturbed, on="cpu", echo=quiet)
    stop_at(STEPS + 1, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet), signals=2)
    assert [row["epoch"] for row in rows(run)] == ["1"]
    trainer.resume(run, on="cpu", echo=quiet)
    assert same(run, undisturbed)


def test_a_run_that_was_stopped_at_once_in_its_first_steps_goes_on_from_its_beginning(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: "Stop", same: "Same"
) -> None:
    run, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    trainer.train(tiny_recipe(), undisturbed, on="cpu", echo=quiet)
    error = stop_at(1, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet), signals=2)
    assert str(error).endswith(f"go on with nin-onnx train --resume {run} --device cpu")
    trainer.resume(run, on="cpu", echo=quiet)
    assert same(run, undisturbed)


def test_a_run_that_was_killed_while_it_began_can_be_begun_again(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch, same: "Same"
) -> None:
    run, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    trainer.train(tiny_recipe(), undisturbed, on="cpu", echo=quiet)

    def killed(*arguments: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("nin_onnx.train.state.write", killed)
        with pytest.raises(Killed):
            trainer.train(tiny_recipe(), run, on="cpu", echo=quiet)
    with pytest.raises(RunError, match=r"run' holds no state.safetensors to resume from: train it afresh with another --out$"):
        trainer.resume(run, on="cpu", echo=quiet)
    trainer.train(tiny_recipe(), run, on="cpu", echo=quiet)
    assert same(run, undisturbed)


def test_sigterm_is_answered_as_ctrl_c_is_and_the_signals_mean_afterwards_what_they_meant_before(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr(
        "nin_onnx.train.optimizer.Optimizer.set_learning_rate", lambda self, rate: signal.raise_signal(signal.SIGTERM)
    )
    with pytest.raises(Interrupted, match=r"^stopped at step 1 of 4 in epoch 1 of 3: go on with "):
        trainer.train(tiny_recipe(), tmp_path / "run", on="cpu", echo=quiet)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_run_that_was_stopped_while_it_was_tested_can_be_ended(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "count_errors", stopped)
        with pytest.raises(Interrupted, match=r"^stopped after epoch 3 of 3: go on with "):
            trainer.train(tiny_recipe(), tmp_path / "run", on="cpu", echo=quiet)
    assert trainer.resume(tmp_path / "run", on="cpu", echo=quiet)["epochs"] == 3
