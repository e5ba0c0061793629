"""The status of a reproduction, read from its folder while it is running and after."""

from pathlib import Path

import pytest

from nin_onnx.errors import NinOnnxError
from nin_onnx.run import Epoch
from nin_onnx.train import status
from nin_onnx.train.lock import locked
from nin_onnx.train.status import RunStatus
from nin_onnx.train.writable_run import WritableRun

LONG = "cifar10-augmented-modern-modified-seed0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two epochs of four are over in a run that was begun; another one was not."""
    run = WritableRun(tmp_path / "runs" / LONG)
    run.folder.mkdir(parents=True)
    run.state.touch()
    (run.folder / "recipe.toml").write_text("[train]\nepochs = 4\n")
    run.write_metrics([Epoch(epoch, 0.1, 2.0, 50.0, None, None, 1830.0, 25_000.0) for epoch in (1, 2)])
    status.write(tmp_path, [LONG, "svhn-seed0", "mnist-seed0"], [LONG], {"svhn-seed0": "no data"})
    return tmp_path


def test_what_runs_has_its_epoch_error_speed_and_the_time_that_is_left(folder: Path) -> None:
    with locked(folder, NinOnnxError("busy")):  # as nin-onnx reproduce holds it
        running, failed, left = status.read(folder)
    assert running == RunStatus(LONG, "running", 2, 4, 50.0, "train", 25_000.0, 3660.0)
    assert failed == RunStatus("svhn-seed0", "failed", reason="no data")
    assert left == RunStatus("mnist-seed0", "left")


def test_what_ran_when_its_process_was_killed_is_interrupted(folder: Path) -> None:
    assert {one.run: one.state for one in status.read(folder)}[LONG] == "interrupted"


def test_one_line_counts_the_states_and_says_how_long_each_training_takes(folder: Path) -> None:
    with locked(folder, NinOnnxError("busy")):
        assert status.line(status.read(folder)) == f"1 running, 1 failed, 1 left; {LONG} 2/4, 1 h 01 min left"


@pytest.mark.parametrize(("width", "lines"), [(60, 4), (120, 3)])
def test_the_table_fits_a_narrow_and_a_wide_terminal(width: int, lines: int, folder: Path) -> None:
    with locked(folder, NinOnnxError("busy")):
        shown = status.table(status.read(folder), width).splitlines()
    assert len(shown) == lines
    assert max(map(len, shown)) <= width
    assert " ".join(shown).split()[:8] == ["running", LONG, "2/4", "train", "50.00", "%", "25,000", "images/s"]


def test_a_folder_in_which_nothing_was_begun_is_named(tmp_path: Path) -> None:
    with pytest.raises(NinOnnxError, match="nothing was begun in"):
        status.read(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"wanted": 3, "running": [], "failed": {}}'])
def test_a_broken_note_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text(content)
    with pytest.raises(NinOnnxError, match=r"progress\.json' cannot be read"):
        status.read(tmp_path)
