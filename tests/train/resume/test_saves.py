"""Saves that were cut short, by a full disk or a kill: the state before them is whole, and a run goes on from it."""

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nin_onnx.errors import Interrupted, NinOnnxError
from nin_onnx.recipe import Recipe
from nin_onnx.train import checkpoint, trainer

if TYPE_CHECKING:
    from tests.train.resume.conftest import Rows, Same, Stop

Recipes = Callable[..., Recipe]
STEPS = 4  # an epoch of the tiny data set


def quiet(line: str) -> None:
    pass


def test_a_run_whose_metrics_were_written_just_before_it_was_killed_has_no_line_twice(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch, rows: "Rows"
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
from nin_onnx.train import running, trainer
trainer.SAVE_EVERY = 0
save = running.RunningTraining.save
def filled(self):
    save(self)
    if len(self.state.epochs) == 2:
        try:
            pathlib.Path({str(disk)!r}, "other").write_bytes(bytes(2 << 20))
        except OSError:
            pass  # full, as it was meant
running.RunningTraining.save = filled
sys.argv = ["nin-onnx", "train", "digits", "--set", "train.epochs=9", "--out", {str(disk / "run")!r}]
cli.main()
"""
    # In a mount namespace of its own, so that the disk is gone with the process; what was on it is copied first.
    python = f'{sys.executable} -c "$0"; echo $? > {tmp_path}/status; cp -r {disk}/run {tmp_path}'
    shell = f"mount -t tmpfs -o size=2m none {disk} && {{ {python}; }}"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(["unshare", "--mount", "sh", "-c", shell, code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "status").read_text() == "2\n"
    assert re.fullmatch(r"error: cannot write '.*' \(No space left on device\): free some space or choose .*\n", done.stderr)
    assert not list((tmp_path / "run").glob(".*"))  # nothing half-written
    summary = trainer.resume(tmp_path / "run", on="cpu", echo=quiet)
    assert summary["epochs"] == 9


def test_what_a_killed_save_left_behind_is_removed_and_does_no_harm(
    tmp_path: Path, tiny_recipe: Recipes, stop_at: "Stop", same: "Same"
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
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch, interrupt: str, same: "Same"
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
