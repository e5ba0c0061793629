"""Trainings that are killed with SIGKILL at random moments, in processes of their own: slow."""

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
SETTINGS = ("digits", "--seed", "3", "--set", "train.epochs=120", "--set", "train.micro_batch=20", "--set", "network.dropout=0.5")


def start(script: Path, ranks: int, *arguments: str) -> subprocess.Popen[bytes]:
    """A training in a process group of its own."""
    prefix = (sys.executable, *(TORCHRUN if ranks > 1 else ()), str(script))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        (*prefix, "train", *arguments), env=environment, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL
    )


def finished(script: Path, ranks: int, *arguments: str) -> None:
    process = start(script, ranks, *arguments)
    assert process.wait(timeout=200) == 0


def kill_at_a_random_moment(process: subprocess.Popen[bytes], run: Path, moments: random.Random) -> bool:
    """SIGKILL to every process of the training, up to 3 s after it has begun to write; whether it was still going."""
    written = run / "state.safetensors"
    before = written.stat().st_mtime_ns if written.exists() else 0
    while process.poll() is None and not (written.exists() and written.stat().st_mtime_ns != before):
        time.sleep(0.01)
    time.sleep(moments.uniform(0, 1.0))
    going = process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return going


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("ranks", "kills"), [(1, 10), (2, 2)], ids=["one process", "two gloo ranks"])
def test_a_training_that_is_killed_again_and_again_ends_with_the_bytes_of_an_undisturbed_one(
    tmp_path: Path, ranks: int, kills: int
) -> None:
    script, run, undisturbed = tmp_path / "script.py", tmp_path / "run", tmp_path / "undisturbed"
    script.write_text(CODE)
    moments = random.Random(0)
    finished(script, ranks, *SETTINGS, "--out", str(undisturbed))
    killed = 0
    process = start(script, ranks, *SETTINGS, "--out", str(run))
    for _ in range(kills):
        if kill_at_a_random_moment(process, run, moments):
            killed += 1
        process = start(script, ranks, "--resume", str(run))
    assert process.wait(timeout=300) == 0
    assert killed == kills
    assert (run / "model.safetensors").read_bytes() == (undisturbed / "model.safetensors").read_bytes()
    assert {path.name for path in run.iterdir()} == {path.name for path in undisturbed.iterdir()}  # no temporary file either
    columns = [
        [line.split(",")[:6] for line in (folder / "metrics.csv").read_text().splitlines()] for folder in (run, undisturbed)
    ]
    assert columns[0] == columns[1]
    assert [line[0] for line in columns[0]] == ["epoch", *map(str, range(1, 121))]
