"""Two processes that train together: what they compute, who writes, and what happens when one is lost."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import distributed

from nin_onnx.errors import Interrupted, NinOnnxError, TrainingError
from nin_onnx.train import process_group
from nin_onnx.train.process_group import ProcessGroup

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python")

LOSSES = """
# Trains 50 steps of batches of 63 digits and prints the loss of each: the sum over the processes.
import json, torch
from nin_onnx import data
from nin_onnx.train import checkpoint, process_group
from nin_onnx import recipe
from nin_onnx.train.examples import Examples
from nin_onnx.train.learner import Learner

torch.set_num_threads(1)

def train(group):
    settings = recipe.load("digits", [
        "train.precision=fp32", "train.batch_size=64", "train.micro_batch=10", "network.dropout=0.5", "schedule.ema_decay=0.9",
    ])
    classifier = checkpoint.build_classifier(settings)
    digits = data.load("digits", "train")
    images, labels = torch.tensor(digits.images), torch.tensor(digits.labels)
    classifier.preprocessing.fit(images)
    learner = Learner(settings, classifier, torch.device("cpu"), group)
    learner.begin(3)
    learner.set_examples(Examples(images, labels))
    learner.optimizer.set_learning_rate(0.05)
    losses, errors = [], []
    for number in range(50):
        rows = torch.arange(63) + 63 * (number % 20)  # 63: the processes' parts differ in size
        loss, wrong = learner.step(rows, number)
        losses.append(float(group.sum(loss)) / 63)
        errors.append(float(group.sum(wrong)))
    if group.is_main:
        last = learner.network.get_parameter("conv1.weight").sum().item()
        print(json.dumps({"losses": losses, "errors": errors, "last": last}))

with process_group.joined(torch.device("cpu")) as group:
    train(group)
"""

TRAIN = """
# Trains the digits for a few epochs; in the process REASON_RANK something is wrong from step 5 on.
import os, sys
from nin_onnx.train import learner
from nin_onnx import cli

step = learner.Learner.step
def broken(self, rows, number):
    if os.environ.get("RANK") == os.environ.get("REASON_RANK") and number == 5:
        raise ValueError("the disk of this process is on fire")
    return step(self, rows, number)
learner.Learner.step = broken
sys.argv[0] = "nin-onnx"
cli.main()
"""


def run(command: tuple[str, ...], environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **(environment or {})}
    return subprocess.run(command, capture_output=True, text=True, timeout=1000, env=variables, cwd=ROOT)


def script(folder: Path, code: str) -> str:
    path = folder / "script.py"
    path.write_text(code)
    return str(path)


@given(st.integers(0, 1000), st.integers(1, 9))
def test_the_parts_of_a_group_are_the_whole_in_order_and_differ_by_one_at_most(count: int, size: int) -> None:
    parts = [range(count)[ProcessGroup(rank, size).part(count)] for rank in range(size)]
    assert [number for part in parts for number in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a group of one that torchrun started, and gloo stands for NCCL."""
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    begin = distributed.init_process_group
    place: dict[str, Any] = {"init_method": f"file://{tmp_path}/meeting", "rank": 0, "world_size": 1}
    monkeypatch.setattr(distributed, "init_process_group", lambda *given, **more: begin("gloo", **place))


@pytest.mark.usefixtures("alone")
def test_a_group_within_a_group_is_the_same_one_and_ends_with_the_outer(monkeypatch: pytest.MonkeyPatch) -> None:
    with process_group.joined(CPU) as outer:
        monkeypatch.setattr(distributed, "init_process_group", None)  # torch's store would mix up a second one
        for _ in range(2):
            with process_group.joined(CPU) as inner:
                assert inner == outer
            assert distributed.is_initialized()
    assert not distributed.is_initialized()


def at_once() -> Interrupted:
    """What a second Ctrl-C becomes, in the one process that had it."""
    error = Interrupted("stopped at step 3")
    error.__cause__ = KeyboardInterrupt()
    return error


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize(
    ("error", "together"),
    [(Interrupted("stopped"), True), (TrainingError("dead"), True), (at_once(), False), (ValueError("on fire"), False)],
    ids=["stopped", "dead", "stopped at once", "fault"],
)
def test_on_cuda_only_those_that_end_together_wait_for_each_other(kind: str, error: Exception, together: bool) -> None:
    try:
        with pytest.raises(type(error)), process_group.joined(torch.device(kind, 0)):
            raise error
        assert distributed.is_initialized() == (kind == "cuda" and not together)
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def test_processes_that_do_not_meet_are_told_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": "0", "WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "none"}
        for name, value in place.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
        with (
            pytest.raises(NinOnnxError, match=r"^this process could not join the others of its training \(.*\): start them all"),
            process_group.joined(CPU),
        ):
            pass


def test_a_rank_without_torchrun_does_not_make_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes sets one for each of its pods, say."""
    monkeypatch.setenv("RANK", "1")
    with process_group.joined(CPU) as group:
        assert group.is_main
    assert process_group.is_main()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert not process_group.is_main()


@pytest.mark.parametrize(
    ("group", "place", "expected"),
    [
        (ProcessGroup(), {}, "nin-onnx"),
        (ProcessGroup(1, 3), {"LOCAL_WORLD_SIZE": "3", "GROUP_WORLD_SIZE": "1"}, "torchrun --nproc-per-node 3 -m nin_onnx"),
        (
            ProcessGroup(9, 16),
            {"LOCAL_WORLD_SIZE": "8", "GROUP_WORLD_SIZE": "2"},
            "torchrun --nnodes 2 --rdzv-backend c10d --rdzv-endpoint HOST --nproc-per-node 8 -m nin_onnx",
        ),
    ],
    ids=["one process", "one machine", "two machines"],
)
def test_a_team_is_started_again_as_it_was(
    group: ProcessGroup, place: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    assert " ".join(group.launcher) == expected


SEEDS = """
# Trains the digits; the network of seed 1 comes to life without a gradient.
import sys, torch
from nin_onnx import cli
from nin_onnx.train import learner

begin = learner.Learner.begin
def begun(self, seed):
    begin(self, seed)
    if seed == 1:
        with torch.no_grad():
            self.network.get_parameter("conv1.bias").fill_(-1000)
learner.Learner.begin = begun
sys.argv[0] = "nin-onnx"
cli.main()
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_processes_train_seed_after_seed_though_one_dies(tmp_path: Path) -> None:
    arguments = ("train", "digits", "--seeds", "3", "--set", "train.epochs=2", "--out", str(tmp_path / "runs"))
    done = run((*TORCHRUN, sys.executable, script(tmp_path, SEEDS), *arguments))
    assert "error: seeds whose training collapsed, left out of the mean: 1\n" in done.stderr
    assert "internal error" not in done.stderr
    assert done.stdout.count("failed: the training collapsed at step ") == 1
    summary = json.loads((tmp_path / "runs" / "summary.json").read_text())
    assert summary["seeds"] == [0, 2]
    assert [one["processes"] for one in summary["runs"]] == [2, 2]
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"seed0", "seed2", "summary.json"}


def test_two_processes_follow_the_losses_of_one_with_dropout_and_crops_on(tmp_path: Path) -> None:
    code = script(tmp_path, LOSSES)
    alone, together = (run((*how, sys.executable, code)) for how in ((), TORCHRUN))
    results: list[dict[str, Any]] = []
    for done in (alone, together):
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout.splitlines()[-1]))
    one, two = results
    assert len(one["losses"]) == 50
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)
    assert one["losses"][-1] < one["losses"][0] - 0.05  # it does learn
    assert two["errors"][:10] == one["errors"][:10]
    assert two["last"] == pytest.approx(one["last"], abs=1e-4)


@pytest.mark.slow
def test_a_team_writes_one_run_and_says_everything_once(tmp_path: Path) -> None:
    command = (
        *TORCHRUN,
        sys.executable,
        "-m",
        "nin_onnx",
        "train",
        "digits",
        "--set",
        "train.epochs=3",
        "--out",
        str(tmp_path / "r"),
    )
    done = run(command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 1/3") == 1
    assert done.stdout.count("next: nin-onnx export") == 1
    summary = json.loads((tmp_path / "r" / "summary.json").read_text())
    assert (summary["processes"], summary["test"]["images"]) == (2, 360)
    alone = run((*command[len(TORCHRUN) : -1], str(tmp_path / "alone")))
    assert alone.returncode == 0, alone.stderr
    other = json.loads((tmp_path / "alone" / "summary.json").read_text())
    assert summary["train_loss"] == pytest.approx(other["train_loss"], rel=0.02)
    assert abs(summary["test"]["errors"] - other["test"]["errors"]) <= 4


@pytest.mark.parametrize("rank", [pytest.param("0", marks=pytest.mark.slow), "1"])
def test_a_process_that_fails_ends_the_whole_training_with_its_reason(tmp_path: Path, rank: str) -> None:
    arguments = ("train", "digits", "--set", "train.epochs=500", "--out", str(tmp_path / "r"))
    done = run((*TORCHRUN, sys.executable, script(tmp_path, TRAIN), *arguments), {"REASON_RANK": rank})
    assert done.returncode != 0
    assert "the disk of this process is on fire" in done.stderr


STOPPED = """
# Trains the digits; in the process of rank 1 alone the user presses Ctrl-C in step STOP_AT.
import os, signal, sys
from nin_onnx import cli
from nin_onnx.train import learner

step = learner.Learner.step
def interrupted(self, rows, number):
    if (os.environ["RANK"], str(number)) == ("1", os.environ.get("STOP_AT")):
        signal.raise_signal(signal.SIGINT)
    return step(self, rows, number)
learner.Learner.step = interrupted
sys.argv[0] = "nin-onnx"
cli.main()
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sgd", "muon"])
def test_three_processes_stop_together_and_go_on_to_the_same_bytes(tmp_path: Path, kind: str) -> None:
    """Three, since the order in which two gradients are added does not matter."""
    three = tuple("3" if part == "2" else part for part in TORCHRUN)
    code = script(tmp_path, STOPPED)
    settings = ("--set", "train.epochs=4", "--set", "train.validation=100", "--set", f"optimizer.kind={kind}")
    whole = run((*three, sys.executable, code, "train", "digits", *settings, "--out", str(tmp_path / "whole")))
    assert whole.returncode == 0, whole.stderr
    command = (*three, sys.executable, code, "train")
    stopped = run((*command, "digits", *settings, "--out", str(tmp_path / "run")), {"STOP_AT": "33"})
    assert stopped.returncode != 0
    assert "stopped at step 20 of 21 in epoch 2 of 4: go on with torchrun --nproc-per-node 3 -m nin_onnx train" in stopped.stderr
    resumed = run((*command, "--resume", str(tmp_path / "run")))
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed at step 20 of 21 in epoch 2 of 4" in resumed.stdout
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "whole"))
    assert one == other
    figures = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("run", "whole")]
    assert figures[0]["curve"] == figures[1]["curve"]
    assert figures[0]["validation_error"] is not None


@pytest.mark.slow
def test_more_processes_than_images_in_the_last_batch_are_refused(tmp_path: Path) -> None:
    """1,437 images in batches of 359 leave 1."""
    done = run(
        (
            *TORCHRUN,
            sys.executable,
            "-m",
            "nin_onnx",
            "train",
            "digits",
            "--set",
            "train.batch_size=359",
            "--out",
            str(tmp_path / "r"),
        )
    )
    assert done.returncode != 0
    assert "the last batch of an epoch has 1 images, fewer than 2 processes: change train.batch_size (359)" in done.stderr
    assert not (tmp_path / "r").exists()
