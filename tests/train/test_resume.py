"""Interrupted runs: what is kept, and that going on is as if nothing had happened."""

import csv
import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nin_onnx import data
from nin_onnx.errors import Interrupted, NinOnnxError, RunError
from nin_onnx.train import checkpoint, trainer
from nin_onnx.train.learner import Learner
from nin_onnx.train.preprocessing import Preprocessing
from nin_onnx.train.recipe import Recipe

Recipes = Callable[..., Recipe]
STEPS = 4  # an epoch of the tiny data set
SETTINGS = {
    "all on": (),
    "no averaging": ("schedule.average=0",),
    "no momentum": ("optimizer.momentum=0",),
    "muon": ("optimizer.kind=muon", "optimizer.learning_rate=0.02"),
    "stepped": ("schedule.kind=stepped", "schedule.drops=[1, 2]"),
    "bf16": ("train.precision=bf16",),
    "validation": ("train.validation=14",),
}


def quiet(line: str) -> None:
    pass


class Killed(BaseException):
    """Stands for SIGKILL: no handler of ours is for it."""


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Interrupted]:
    """Run a training until the user presses Ctrl-C in step `number`."""

    def stopped(number: int, run: Callable[[], Any], signals: int = 1) -> Interrupted:
        step = Learner.step

        def interrupted(self: Learner, images: torch.Tensor, labels: torch.Tensor, now: int) -> Any:
            for _ in range(signals if now == number else 0):
                signal.raise_signal(signal.SIGINT)
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


def same(one: Path, other: Path) -> bool:
    """Whether two ended runs have the same weights and, but for the clock, the same metrics."""
    return (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes() and rows(one) == rows(other)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("places", [(5, 11), (0, 3), (4, 5)], ids=str)
def test_a_run_that_was_stopped_twice_ends_as_an_undisturbed_one(
    tmp_path: Path,
    tiny_recipe: Recipes,
    stop_at: Callable[..., Interrupted],
    settings: tuple[str, ...],
    places: tuple[int, int],
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
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    undisturbed, run = tmp_path / "undisturbed", tmp_path / "run"
    trainer.train(tiny_recipe(), undisturbed, on="cpu", echo=quiet)
    step = Learner.step

    def killed(self: Learner, images: torch.Tensor, labels: torch.Tensor, now: int) -> Any:
        if now == number:
            raise Killed
        return step(self, images, labels, now)

    monkeypatch.setattr(trainer, "SAVE_EVERY", 0)
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", killed)
        with pytest.raises(Killed):
            trainer.train(tiny_recipe(), run, on="cpu", echo=quiet)
    trainer.resume(run, on="cpu", echo=quiet)
    assert same(run, undisturbed)


def test_what_was_fitted_is_read_back_and_not_fitted_again(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: Callable[..., Interrupted], monkeypatch: pytest.MonkeyPatch
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
    tmp_path: Path, tiny_recipe: Recipes, stop_at: Callable[..., Interrupted], number: int, place: str
) -> None:
    run = tmp_path / "run"
    error = stop_at(number, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet))
    assert str(error) == f"stopped {place} of 3: go on with nin-onnx train --resume {run}"
    kept = {"recipe.toml", "preprocessing.safetensors", "state.safetensors"} | ({"metrics.csv"} if number >= 3 else set())
    assert {path.name for path in run.iterdir()} == kept


def test_a_second_ctrl_c_stops_at_once_and_leaves_the_last_state(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: Callable[..., Interrupted]
) -> None:
    run, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    trainer.train(tiny_recipe(), undisturbed, on="cpu", echo=quiet)
    stop_at(STEPS + 1, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet), signals=2)
    assert [row["epoch"] for row in rows(run)] == ["1"]
    trainer.resume(run, on="cpu", echo=quiet)
    assert same(run, undisturbed)


def test_a_run_that_was_stopped_at_once_in_its_first_steps_goes_on_from_its_beginning(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: Callable[..., Interrupted]
) -> None:
    run, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    trainer.train(tiny_recipe(), undisturbed, on="cpu", echo=quiet)
    error = stop_at(1, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet), signals=2)
    assert str(error).endswith(f"go on with nin-onnx train --resume {run}")
    trainer.resume(run, on="cpu", echo=quiet)
    assert same(run, undisturbed)


def test_a_run_that_was_killed_while_it_began_can_be_begun_again(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
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


def test_a_folder_that_is_no_run_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"none' is no run folder: make one with nin-onnx train RECIPE --out "):
        trainer.resume(tmp_path / "none", on="cpu", echo=quiet)


def test_sigterm_is_answered_as_ctrl_c_is_and_the_signals_mean_afterwards_what_they_meant_before(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr("nin_onnx.train.optimizer.Optimizer.set_rate", lambda self, rate: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(Interrupted, match=r"^stopped at step 1 of 4 in epoch 1 of 3: go on with "):
        trainer.train(tiny_recipe(), tmp_path / "run", on="cpu", echo=quiet)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_run_that_was_stopped_while_it_was_tested_can_be_ended(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "count_errors", stopped)
        with pytest.raises(Interrupted, match=r"^stopped after epoch 3 of 3: go on with "):
            trainer.train(tiny_recipe(), tmp_path / "run", on="cpu", echo=quiet)
    assert trainer.resume(tmp_path / "run", on="cpu", echo=quiet)["epochs"] == 3


def test_a_run_whose_metrics_were_written_just_before_it_was_killed_has_no_line_twice(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = checkpoint.write

    def killed(path: Path, tensors: Any, description: Any) -> None:
        if path.name == "model.safetensors" or len(description.get("state", {}).get("epochs", ())) == 3:
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

    def echo(line: str) -> None:
        if "epoch 2/3" in line:
            patch.setattr(os, "fsync", full)

    with (
        monkeypatch.context() as patch,
        pytest.raises(NinOnnxError, match=r"^cannot write '.*' \(No space left on device\): free"),
    ):
        trainer.train(tiny_recipe(), run, on="cpu", echo=echo)
    kept = {"recipe.toml", "metrics.csv", "preprocessing.safetensors", "state.safetensors"}
    assert {path.name for path in run.iterdir()} == kept
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
    del description["state"]["seed"]
    checkpoint.write(state, tensors, description)


def _no_table(state: Path) -> None:
    tensors, _ = checkpoint.read(state)
    checkpoint.write(state, tensors, ["epochs"])  # type: ignore[arg-type]


def _of_other_layers(state: Path) -> None:
    tensors, description = checkpoint.read(state)
    checkpoint.write(state, {**tensors, "network/conv1.weight": torch.zeros(3)}, description)


def _unknown_figures(state: Path) -> None:
    tensors, description = checkpoint.read(state)
    description["state"]["epochs"] = [{"epoch": 1}]
    checkpoint.write(state, tensors, description)


def _without_average(state: Path) -> None:
    tensors, description = checkpoint.read(state)
    checkpoint.write(state, {name: tensor for name, tensor in tensors.items() if "average" not in name}, description)


@pytest.mark.parametrize(
    "spoil", [_truncated, _foreign, _of_a_model, _without_seed, _no_table, _of_other_layers, _unknown_figures, _without_average]
)
def test_a_state_that_does_not_fit_is_named(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: Callable[..., Interrupted], spoil: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    stop_at(STEPS, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet))
    spoil(run / "state.safetensors")
    with pytest.raises(RunError, match=r"^'.*state.safetensors' (is no nin-onnx checkpoint|cannot be resumed here) \("):
        trainer.resume(run, on="cpu", echo=quiet)


@pytest.mark.parametrize("key", ["average = 0.9", "learning_rate = 0.05", "padding = 1"])
def test_a_state_beside_another_recipe_is_named(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: Callable[..., Interrupted], key: str
) -> None:
    run = tmp_path / "run"
    stop_at(STEPS, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet))
    recipe = run / "recipe.toml"
    name, _, value = key.partition(" = ")
    recipe.write_text(recipe.read_text().replace(key, f"{name} = {float(value) / 2 if '.' in value else 2}"))
    with pytest.raises(
        RunError, match=r"state.safetensors' cannot be resumed here \(it is of another recipe than the recipe.toml"
    ):
        trainer.resume(run, on="cpu", echo=quiet)


def test_other_conditions_than_those_that_decide_the_last_bits_are_told(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: Callable[..., Interrupted], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    said: list[str] = []
    stop_at(STEPS, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    trainer.resume(run, on="cpu", echo=said.append)
    assert said[0] == "the last bits may differ from an undisturbed run's: threads: 1 before, 7 now"
    assert said[1] == "resumed at step 1 of 4 in epoch 2 of 3"


def test_a_run_goes_on_as_deterministically_as_it_began(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: Callable[..., Interrupted]
) -> None:
    run = tmp_path / "run"
    error = stop_at(STEPS, lambda: trainer.train(tiny_recipe(), run, on="cpu", deterministic=True, echo=quiet))
    assert str(error).endswith(" --deterministic")
    with pytest.raises(RunError, match=r"its deterministic was True, here it is False"):
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
    monkeypatch.setattr("nin_onnx.train.device.precision", lambda name, device: torch.bfloat16)
    with pytest.raises(RunError, match=r"its precision was float32, here it is bfloat16"):
        trainer.resume(run, on="cpu", echo=quiet)


def may_mount() -> bool:
    """Whether this process may mount a disk of its own: as root, outside most containers."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not may_mount(), reason="no small disk can be mounted")
def test_a_disk_that_is_full_ends_the_training_in_one_line_and_the_last_state_can_be_read(tmp_path: Path) -> None:
    """A disk of 2 MB, which another file fills up after the first states are on it."""
    disk = tmp_path / "disk"
    disk.mkdir()
    code = f"""
import pathlib, sys
from nin_onnx import cli
from nin_onnx.train import trainer
trainer.SAVE_EVERY = 0
save = trainer._Training.save
def filled(self):
    save(self)
    if len(self.state.epochs) == 2:
        try:
            pathlib.Path({str(disk)!r}, "other").write_bytes(bytes(2 << 20))
        except OSError:
            pass  # full, as it was meant
trainer._Training.save = filled
sys.argv = ["nin-onnx", "train", "digits", "--set", "train.epochs=9", "--out", {str(disk / "run")!r}]
cli.main()
"""
    # In a mount namespace of its own, so that the disk is gone with the process; what was on it is copied first.
    python = f'{sys.executable} -c "$0"; echo $? > {tmp_path}/status; cp -r {disk}/run {tmp_path}'
    shell = f"mount -t tmpfs -o size=2m none {disk} && {{ {python}; }}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(["unshare", "--mount", "sh", "-c", shell, code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "status").read_text() == "2\n"
    assert re.fullmatch(r"error: cannot write '.*' \(No space left on device\): free some space or choose .*\n", done.stderr)
    assert not list((tmp_path / "run").glob(".*"))  # nothing half-written
    summary = trainer.resume(tmp_path / "run", on="cpu", echo=quiet)
    assert summary["epochs"] == 9


def test_what_a_killed_save_left_behind_is_removed_and_does_no_harm(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: Callable[..., Interrupted]
) -> None:
    run, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    trainer.train(tiny_recipe(), undisturbed, on="cpu", echo=quiet)
    stop_at(STEPS + 1, lambda: trainer.train(tiny_recipe(), run, on="cpu", echo=quiet))
    (run / ".state.safetensors.abc.part").write_bytes((run / "state.safetensors").read_bytes()[:100])
    trainer.resume(run, on="cpu", echo=quiet)
    assert same(run, undisturbed)
    assert {path.name for path in run.iterdir()} == {path.name for path in undisturbed.iterdir()}


@pytest.mark.parametrize("interrupt", ["fsync", "replace"])
def test_an_interrupted_save_leaves_the_state_before_it(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch, interrupt: str
) -> None:
    run, undisturbed = tmp_path / "run", tmp_path / "undisturbed"
    trainer.train(tiny_recipe(), undisturbed, on="cpu", echo=quiet)
    monkeypatch.setattr(trainer, "SAVE_EVERY", 0)
    write, saves = checkpoint.write, []

    def stopped(*arguments: Any) -> None:
        raise KeyboardInterrupt

    def interrupted(path: Path, tensors: Any, description: Any) -> None:
        if path.name == "state.safetensors":
            saves.append(path.read_bytes() if path.exists() else b"")
            if len(saves) == 6:
                patch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[interrupt], stopped)
        write(path, tensors, description)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", interrupted)
        with pytest.raises(Interrupted, match=r"^stopped at step 1 of 4 in epoch 2 of 3: go on with"):
            trainer.train(tiny_recipe(), run, on="cpu", echo=quiet)
    assert (run / "state.safetensors").read_bytes() == saves[-1] != b""
    assert not list(run.glob(".*"))
    trainer.resume(run, on="cpu", echo=quiet)
    assert same(run, undisturbed)
