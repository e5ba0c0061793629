"""Trainings that are killed with SIGKILL at random moments, in processes of their own: slow."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python", sys.executable)
CODE = """
import sys
from nin_onnx import cli
from nin_onnx.train import trainer
trainer.SAVE_EVERY = 0.05  # seconds: many a kill falls into a save
sys.argv[0] = "nin-onnx"
cli.main()
"""
SETTINGS = ("digits", "--seed", "3", "--set", "train.epochs=300", "--set", "train.micro_batch=20", "--set", "network.dropout=0.5")


def start(script: Path, ranks: int, *arguments: str) -> subprocess.Popen[bytes]:
    """A training in processes of its own."""
    prefix = (sys.executable, *(TORCHRUN if ranks > 1 else ()), str(script))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen((*prefix, "train", *arguments), env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)


def finished(script: Path, ranks: int, *arguments: str) -> None:
    process = start(script, ranks, *arguments)
    assert process.wait(timeout=400) == 0


def descendants(process: int) -> list[int]:
    """The numbers of a process and of all that it started, whatever session they are in."""
    children = Path(f"/proc/{process}/task/{process}/children")
    started = [int(child) for child in children.read_text().split()] if children.exists() else []
    return [process, *(number for child in started for number in descendants(child))]


def version(run: Path) -> tuple[int, int] | None:
    """What changes whenever the training saves its state; None while there is none."""
    state = run / "state.safetensors"
    return (state.stat().st_ino, state.stat().st_mtime_ns) if state.exists() else None


def kill_at_a_random_moment(process: subprocess.Popen[bytes], run: Path, seconds: float) -> bool:
    """SIGKILL to every process of the training, so long after it first saved its state; whether it was still going."""
    before, deadline = version(run), time.monotonic() + 120
    while version(run) in (before, None) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert version(run) not in (before, None), "the training ended, or waited for two minutes, without saving its state"
    time.sleep(seconds)
    going = process.poll() is None
    for number in descendants(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.wait()
    return going


def rows(run: Path) -> list[list[str]]:
    return [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(("ranks", "kills"), [(1, 10), (2, 2)], ids=["one process", "two gloo ranks"])
def test_a_training_that_is_killed_again_and_again_ends_with_the_bytes_of_an_undisturbed_one(
    tmp_path: Path, ranks: int, kills: int
) -> None:
    script, run, undisturbed = tmp_path / "script.py", tmp_path / "run", tmp_path / "undisturbed"
    script.write_text(CODE)
    finished(script, ranks, *SETTINGS, "--out", str(undisturbed))
    seconds = sum(float(row[6]) for row in rows(undisturbed)[1:])  # the kills take half of that from the training at most
    moments = random.Random(0)
    arguments: tuple[str, ...] = (*SETTINGS, "--out", str(run))
    for _ in range(kills):
        assert kill_at_a_random_moment(start(script, ranks, *arguments), run, moments.uniform(0, seconds / kills / 2))
        arguments = ("--resume", str(run))
    finished(script, ranks, "--resume", str(run))
    assert (run / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()
    assert {path.name for path in run.iterdir()} == {path.name for path in undisturbed.iterdir()}  # no temporary file either
    timeless = [[row[:6] for row in rows(folder)] for folder in (run, undisturbed)]  # seconds and images per second come last
    assert timeless[0] == timeless[1]
    assert [row[0] for row in timeless[0]] == ["epoch", *map(str, range(1, 301))]
