"""NVIDIA's MPS around several trainings: started, stopped, absent, broken; a stand-in for its program notes how it is called."""

import os
from pathlib import Path

import pytest

from nin_onnx.train import mps

PROGRAM = """#!/bin/sh
echo "$@" "$(cat)" "$CUDA_MPS_PIPE_DIRECTORY" "$CUDA_MPS_LOG_DIRECTORY" >> {calls}
exit {status}
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the program writes its options, what it was told, and its two folders."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)
    (tmp_path / "bin").mkdir()
    return tmp_path / "calls"


def install(calls: Path, status: int = 0) -> None:
    program = calls.parent / "bin" / mps.PROGRAM
    program.write_text(PROGRAM.format(calls=calls, status=status))
    program.chmod(0o755)


def test_it_serves_for_the_block_in_a_folder_of_its_own_and_is_told_to_quit(calls: Path) -> None:
    install(calls)
    said: list[str] = []
    with mps.service(said.append, wanted=True) as variables:
        folder = variables["CUDA_MPS_PIPE_DIRECTORY"]
        assert Path(folder).is_dir()
        assert variables["CUDA_MPS_LOG_DIRECTORY"] == folder
        assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ  # for the trainings only
        assert calls.read_text().split() == ["-d", folder, folder]
    assert calls.read_text().splitlines()[1].split() == ["quit", folder, folder]
    assert not Path(folder).exists()
    assert said == []


def test_it_is_stopped_too_if_the_block_fails(calls: Path) -> None:
    install(calls)
    with pytest.raises(KeyboardInterrupt), mps.service(print, wanted=True):
        raise KeyboardInterrupt
    assert "quit" in calls.read_text()


def test_if_it_does_not_start_that_is_said_in_a_line_and_the_trainings_do_without(calls: Path) -> None:
    install(calls, status=3)
    said: list[str] = []
    with mps.service(said.append, wanted=True) as variables:
        assert variables == {}
    assert said == ["the trainings take turns on the GPU: 'nvidia-cuda-mps-control -d' failed (status 3)"]


@pytest.mark.parametrize("why", ["not wanted", "not installed", "runs already"])
def test_it_is_not_started_if_it_is(why: str, calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "not installed":
        monkeypatch.setenv("PATH", str(calls.parent / "bin"))
    else:
        install(calls)
    if why == "runs already":
        monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", "/somewhere")
    with mps.service(print, wanted=why != "not wanted") as variables:
        assert variables == {}
    assert not calls.exists()
