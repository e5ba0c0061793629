"""Commands as a user types them, how they end, and one run that is trained and exported once for all tests."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import nin_onnx
from nin_onnx import cli

CHECKOUT = Path(nin_onnx.__file__).parents[1]
DIGITS = ("train", "digits", "--set", "train.epochs=1")


class Result(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    def assert_error(self, status: int, *parts: str) -> None:
        """One line on stderr that holds `parts`, nothing on stdout, and the exit status."""
        assert self.out == ""
        (line,) = self.err.strip().splitlines()
        assert line.startswith("error: ")
        assert [part for part in parts if part not in line] == []
        assert self.status == status


class Process(subprocess.Popen[str]):
    """`python -m nin_onnx` with these arguments, in a process of its own."""

    def __init__(self, *arguments: object, cwd: Path) -> None:
        line = [sys.executable, "-m", "nin_onnx", *map(str, arguments)]
        environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}  # two wait on each other when busy
        super().__init__(line, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ended(self) -> Result:
        """How it ended."""
        try:
            out, err = self.communicate(timeout=300)
        finally:
            self.kill()  # which does nothing to one that has ended
        return Result(self.returncode, out, err)


Command = Callable[..., Result]
Start = Callable[..., Process]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs `nin-onnx` with these arguments, in this process."""

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["nin-onnx", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert isinstance(end.value.code, int)
        return Result(end.value.code, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def start() -> Start:
    """Starts `nin-onnx` with these arguments, in a process of its own."""
    return Process


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workplace")


@pytest.fixture(scope="session")
def trained(workplace: Path) -> Result:
    """The digits, trained for an epoch in `workplace`."""
    return Process(*DIGITS, "--out", "run", "--json", cwd=workplace).ended()


@pytest.fixture(scope="session")
def exported(trained: Result, workplace: Path) -> Result:
    """That run, exported."""
    assert trained.status == 0, trained.err
    return Process("export", "run", "--json", cwd=workplace).ended()


@pytest.fixture(scope="session")
def run(exported: Result, workplace: Path) -> Path:
    """The folder of the run, which is exported."""
    assert exported.status == 0, exported.err
    return workplace / "run"


@pytest.fixture
def model(run: Path, tmp_path: Path) -> Path:
    """The model's folder, a copy for each test."""
    return shutil.copytree(run / "model", tmp_path / "model")
