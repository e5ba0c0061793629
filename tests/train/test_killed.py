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


LATEST = 7.0  # seconds; starting takes about half of it


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


def kill_at_a_random_moment(process: subprocess.Popen[bytes], moments: random.Random) -> bool:
    """SIGKILL to every process of the training, up to some seconds after it was started; whether it was still going."""
    time.sleep(moments.uniform(0.5, LATEST))
    going = process.poll() is None
    for number in descendants(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    process.wait()
    return going


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(("ranks", "kills"), [(1, 10), (2, 2)], ids=["one process", "two gloo ranks"])
def test_a_training_that_is_killed_again_and_again_ends_with_the_bytes_of_an_undisturbed_one(
    tmp_path: Path, ranks: int, kills: int
) -> None:
    script, run, undisturbed = tmp_path / "script.py", tmp_path / "run", tmp_path / "undisturbed"
    script.write_text(CODE)
    moments = random.Random(0)
    begin = (*SETTINGS, "--out", str(run))
    finished(script, ranks, *SETTINGS, "--out", str(undisturbed))
    killed = 0  # while there was a state to go on from; before, a kill means to begin again
    for _ in range(5 * kills):
        go_on = ("--resume", str(run)) if (run / "state.safetensors").exists() else begin
        assert kill_at_a_random_moment(start(script, ranks, *go_on), moments)
        killed += (run / "state.safetensors").exists()
        if killed == kills:
            break
    assert killed == kills
    finished(script, ranks, "--resume", str(run))
    assert (run / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()
    assert {path.name for path in run.iterdir()} == {path.name for path in undisturbed.iterdir()}  # no temporary file either
    columns = [
        [line.split(",")[:6] for line in (folder / "metrics.csv").read_text().splitlines()] for folder in (run, undisturbed)
    ]
    assert columns[0] == columns[1]
    assert [line[0] for line in columns[0]] == ["epoch", *map(str, range(1, 301))]
