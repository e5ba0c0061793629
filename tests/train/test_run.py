"""A run's folder: what may be made, what is there, what is said where it is not."""

import csv
import errno
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from nin_onnx.errors import RunError
from nin_onnx.recipe import Recipe
from nin_onnx.run import Epoch
from nin_onnx.train.writable_run import WritableRun

ROOT = Path(__file__).parents[2]


def fitted(path: Path) -> None:
    """Stands for the fitted preprocessing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"fitted")


def test_a_new_run_holds_the_resolved_recipe(tmp_path: Path, tiny_recipe: Callable[..., Recipe]) -> None:
    run, recipe = WritableRun(tmp_path / "runs" / "one"), tiny_recipe("train.epochs=7")
    run.create(recipe, fitted)
    assert {path.name for path in run.folder.iterdir()} == {"recipe.toml", "preprocessing.safetensors"}
    assert run.recipe() == recipe


def test_an_empty_folder_may_become_a_run(tmp_path: Path, tiny_recipe: Callable[..., Recipe]) -> None:
    run = WritableRun(tmp_path / "empty")
    run.folder.mkdir()
    run.create(tiny_recipe(), fitted)
    assert run.recipe() == tiny_recipe()


@pytest.mark.parametrize("content", ["recipe.toml", ".hidden", "state.safetensors"])
def test_what_is_there_is_not_overwritten(tmp_path: Path, tiny_recipe: Callable[..., Recipe], content: str) -> None:
    run = WritableRun(tmp_path / "run")
    run.folder.mkdir()
    (run.folder / content).write_text("kept")
    with pytest.raises(RunError, match=r"run' already exists and will not be overwritten: choose another --out") as raised:
        run.create(tiny_recipe(), fitted)
    assert (f"nin-onnx train --resume {run.folder}" in str(raised.value)) == (content == "state.safetensors")
    assert [(path.name, path.read_text()) for path in run.folder.iterdir()] == [(content, "kept")]


@pytest.mark.parametrize("left", [{"preprocessing.safetensors"}, {"preprocessing.safetensors", "recipe.toml"}, {".x.part"}])
def test_what_a_run_left_that_was_killed_while_it_began_is_no_hindrance(
    tmp_path: Path, tiny_recipe: Callable[..., Recipe], left: set[str]
) -> None:
    run = WritableRun(tmp_path / "run")
    run.folder.mkdir()
    for name in left:
        (run.folder / name).write_text("left")
    run.create(tiny_recipe(), fitted)
    assert run.recipe() == tiny_recipe()
    assert {path.name for path in run.folder.iterdir()} == {"recipe.toml", "preprocessing.safetensors"}


def test_a_run_is_trained_by_one_at_a_time_and_its_lock_does_not_stay(tmp_path: Path) -> None:
    run = WritableRun(tmp_path / "run")
    with run.locked():
        (run.folder / "recipe.toml").touch()
        with pytest.raises(RunError, match=r"^'.*run' is being trained by another process: wait for it, or stop it first \(if "):
            WritableRun(run.folder).locked().__enter__()
    assert [path.name for path in run.folder.iterdir()] == ["recipe.toml"]
    with run.locked():
        pass


def test_a_run_that_came_to_nothing_leaves_no_folder(tmp_path: Path) -> None:
    with WritableRun(tmp_path / "runs" / "of today" / "run").locked():
        assert (tmp_path / "runs" / "of today" / "run").exists()
    assert [*tmp_path.iterdir()] == []


def test_a_process_that_is_killed_leaves_no_run_locked(tmp_path: Path, tiny_recipe: Callable[..., Recipe]) -> None:
    run = WritableRun(tmp_path / "run")
    code = """
import os, pathlib, signal, sys
from nin_onnx.train.writable_run import WritableRun
with WritableRun(pathlib.Path(sys.argv[1])).locked():
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code, str(run.folder)], env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGKILL
    assert [*run.folder.iterdir()]  # what it could not remove
    with run.locked():
        run.create(tiny_recipe(), fitted)
    assert {path.name for path in run.folder.iterdir()} == {"recipe.toml", "preprocessing.safetensors"}


def test_on_a_disk_without_locks_a_run_is_trained_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(FileLock, "acquire", none)
    with WritableRun(tmp_path / "run").locked():
        (tmp_path / "run" / "recipe.toml").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["recipe.toml"]


def test_a_folder_with_a_space_is_one_word_in_the_commands_that_are_told(tmp_path: Path) -> None:
    run = WritableRun(tmp_path / "my runs" / "a")
    run.folder.mkdir(parents=True)
    for told, prepare in ((run.trained, run.state.touch), (run.check_resumable, run.model.touch)):
        prepare()
        with pytest.raises(RunError) as raised:
            told()
        assert shlex.split(str(raised.value).rpartition("nin-onnx ")[2])[-1] == str(run.folder)


def test_a_file_is_no_place_for_a_run(tmp_path: Path, tiny_recipe: Callable[..., Recipe]) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(RunError, match="already exists"):
        WritableRun(tmp_path / "file").create(tiny_recipe(), fitted)
    assert (tmp_path / "file").read_text() == "kept"


def test_what_is_missing_to_a_trained_run_is_said_with_the_command_that_makes_it(tmp_path: Path) -> None:
    run = WritableRun(tmp_path / "run")
    with pytest.raises(RunError, match=r"run' is not a run folder: make one with nin-onnx train RECIPE --out .*run$"):
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
    epochs = [Epoch(1, 0.1, 2.25, 81.5, None, 60.25, 12.5, 4000.0), Epoch(2, 1e-5, 1 / 3, 0.0, 10.0, None, 12.25, 4081.6)]
    WritableRun(tmp_path).write_metrics(epochs)
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert [row["validation_error"] for row in rows] == ["", "10"]
    assert [row["test_error"] for row in rows] == ["60.25", ""]
    for key in ("learning_rate", "train_loss", "train_error", "seconds", "images_per_second"):
        assert [float(row[key]) for row in rows] == pytest.approx([getattr(epoch, key) for epoch in epochs], rel=1e-5)


EPOCHS = [Epoch(1, 0.1, 2.25, 81.5, None, 80.25, 12.5, 4000.0), Epoch(2, 0.01, 0.5, 20.0, 10.0, None, 12.25, 4081.5)]
HEAD = "epoch,learning_rate,train_loss,train_error,validation_error,test_error,seconds,images_per_second\n"


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    """The `metrics.csv` of a run of two epochs."""
    (tmp_path / "recipe.toml").touch()
    WritableRun(tmp_path).write_metrics(EPOCHS)
    return tmp_path / "metrics.csv"


def test_metrics_are_read_as_they_were_written(metrics: Path) -> None:
    assert WritableRun(metrics.parent).read_metrics() == EPOCHS


def test_metrics_of_before_there_were_test_errors_can_be_read(metrics: Path) -> None:
    rows = [line.split(",") for line in metrics.read_text().splitlines()]
    metrics.write_text("".join(",".join(row[:5] + row[6:]) + "\n" for row in rows))
    assert WritableRun(metrics.parent).read_metrics() == [replace(epoch, test_error=None) for epoch in EPOCHS]


def test_metrics_that_are_cut_off_anywhere_are_never_read_as_whole(metrics: Path) -> None:
    content = metrics.read_text()
    for length in range(len(content)):
        metrics.write_text(content[:length])
        try:
            epochs = WritableRun(metrics.parent).read_metrics()
        except RunError as error:
            assert len(str(error).splitlines()) == 1
        else:
            assert epochs == EPOCHS[:1]  # cut at the end of a line, as a run of one epoch is
            assert content[:length].endswith("\n")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "no column 'epoch'"),
        (b"\x89PNG\r\n\x1a\n", "'utf-8' codec"),
        (b"epoch,loss\n1,2\n", "no column 'learning_rate'"),
        (f"{HEAD}1,0.1,x,50,,,1,1\n".encode(), "line 2"),
        (f"{HEAD}1,0.1,nan,50,,,1,1\n".encode(), "line 2"),
        (f"{HEAD}1,0.1,1,50,,,1,1\n3,0.1,1,50,,,1,1\n".encode(), "line 3"),
        (f"{HEAD}1,0.1,1,50,,,1,1,7\n".encode(), "line 2"),
        (f'{HEAD}1,0.1,1,50,,,1,"1\n'.encode(), "unexpected end of data"),
    ],
    ids=["empty", "an image", "another table", "a word", "not a number", "a line is missing", "a cell too many", "a quote"],
)
def test_metrics_that_are_none_are_named_with_what_was_expected(content: bytes, named: str, metrics: Path) -> None:
    metrics.write_bytes(content)
    with pytest.raises(RunError) as raised:
        WritableRun(metrics.parent).read_metrics()
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"'{metrics}' is broken or not of a run ({named}")
    assert line.endswith("for each epoch, as nin-onnx train writes; copy it anew, or give another run's folder")


def test_a_run_without_a_finished_epoch_has_no_metrics_yet(metrics: Path) -> None:
    for prepare in (lambda: metrics.write_text(HEAD), metrics.unlink):
        prepare()
        with pytest.raises(RunError, match=r"^the run '.*' has no finished epoch: wait for its first, or give another"):
            WritableRun(metrics.parent).read_metrics()


def test_a_folder_that_is_no_run_has_no_metrics(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"' is not a run folder: make one with nin-onnx train RECIPE --out "):
        WritableRun(tmp_path).read_metrics()


def test_the_summary_is_json(tmp_path: Path) -> None:
    WritableRun(tmp_path).write_summary({"recipe": "é", "test": {"errors": 3}})
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")) == {"recipe": "é", "test": {"errors": 3}}
