"""Trainings in processes of their own: one is killed, all are stopped, the parent is killed, a training collapses."""

import contextlib
import json
import math
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from nin_onnx.recipe import Recipe
from nin_onnx.results import collapses
from nin_onnx.train import reproduction, status, trainer
from nin_onnx.train.child import Child
from nin_onnx.train.reproduction import Options, Reproduction
from nin_onnx.train.task import Task
from nin_onnx.train.writable_run import WritableRun

ROOT = Path(__file__).parents[2]
Recipes = Callable[..., Recipe]

# Python runs a sitecustomize.py in PYTHONPATH in each process that it starts.
TINY = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from tiny_training import Tiny
from nin_onnx import data
from nin_onnx.train import progress, trainer
data.DATASETS = {{**data.DATASETS, "tiny": data.Source(Tiny().load, lambda folder: folder, 80, 40)}}
trainer.SAVE_EVERY = 0.0  # seconds: after each step
line = progress.line
def wait(epochs, total):
    while len(epochs) == 2 and Path({hold!r}).exists():
        time.sleep(0.01)
    return line(epochs, total)
progress.line = wait
"""
BARE = """
import sys
for name in ("matplotlib", "onnx", "onnxruntime", "onnxscript", "onnxsim", "pooch", "requests", "scipy", "sklearn", "tqdm"):
    sys.modules[name] = None  # as if it were not installed
from nin_onnx.train import trainer
trainer.SAVE_EVERY = 0.05  # seconds: many a kill falls into a save
"""


def quiet(line: str) -> None:
    pass


class Trainings:
    """The real processes that were begun: they know the data set `tiny` and wait after their second epoch while `hold` exists."""

    def __init__(self, hold: Path) -> None:
        self.hold = hold
        self.begun: list[Child] = []

    def __call__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Child:
        child = Child(arguments, log, environment)
        self.begun.append(child)
        return child

    def once_all_wait(self, folder: Path, runs: Sequence[str], do: Callable[[], None]) -> threading.Thread:
        """A thread that does something when `runs` have two epochs behind them."""

        def watch() -> None:
            files = [folder / "runs" / run / "metrics.csv" for run in runs]
            deadline = time.monotonic() + 100
            while not all(file.exists() and file.read_text().count("\n") >= 3 for file in files):
                if time.monotonic() > deadline or (self.begun and all(child.status is not None for child in self.begun)):
                    break  # the test fails
                time.sleep(0.01)
            do()

        thread = threading.Thread(target=watch)
        thread.start()
        return thread


@pytest.fixture
def trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trainings]:
    made = Trainings(tmp_path / "hold")
    made.hold.touch()
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(TINY.format(tests=str(ROOT / "tests" / "shared"), hold=str(made.hold)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(site), str(ROOT))))
    monkeypatch.setattr(reproduction, "Child", made)
    yield made
    for child in made.begun:
        if child.status is None:
            child.kill()


def reproduce(folder: Path, *tasks: Task, **options: int) -> Reproduction:
    chosen = Options(on="cpu", export=False, **options)  # type: ignore[arg-type] # jobs and tries
    return reproduction.reproduce(tasks, folder, chosen, deadline=math.inf, echo=quiet)


def same_as_undisturbed(folder: Path, task: Task, undisturbed: Path) -> bool:
    if not undisturbed.exists():
        trainer.train(task.recipe, undisturbed, seed=task.seed, on="cpu", echo=quiet)
    return WritableRun(folder / "runs" / task.name).model.read_bytes() == WritableRun(undisturbed).model.read_bytes()


def test_a_training_that_is_killed_costs_no_other_and_goes_on_to_the_same_bytes(
    tmp_path: Path, tiny_recipe: Recipes, trainings: Trainings
) -> None:
    tasks = [Task(tiny_recipe(), seed) for seed in (0, 1)]
    folder = tmp_path / "out"

    def kill() -> None:
        os.kill(trainings.begun[0].process.pid, signal.SIGKILL)
        trainings.hold.unlink()

    thread = trainings.once_all_wait(folder, [task.name for task in tasks], kill)
    done = reproduce(folder, *tasks, jobs=2)
    thread.join()
    assert list(done.finished) == ["tiny-seed1"]
    assert done.failed["tiny-seed0"].startswith("killed by SIGKILL, see '")
    again = reproduce(folder, *tasks, jobs=2)
    assert len(trainings.begun) == 3
    assert (sorted(again.finished), again.failed) == (["tiny-seed0", "tiny-seed1"], {})
    assert all(same_as_undisturbed(folder, task, tmp_path / task.name) for task in tasks)


def test_sigterm_stops_all_of_them_saved_and_the_same_call_goes_on_to_the_same_bytes(
    tmp_path: Path, tiny_recipe: Recipes, trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [Task(tiny_recipe(), seed) for seed in (0, 1)]
    folder = tmp_path / "out"
    stop = Child.stop

    def stop_and_let_go(self: Child) -> None:
        stop(self)
        if self is trainings.begun[-1]:  # both know by now
            trainings.hold.unlink()

    monkeypatch.setattr(Child, "stop", stop_and_let_go)
    thread = trainings.once_all_wait(folder, [task.name for task in tasks], lambda: os.kill(os.getpid(), signal.SIGTERM))
    done = reproduce(folder, *tasks, jobs=2)
    thread.join()
    assert (done.stopped, done.left, done.failed) == ("stopped", ["tiny-seed0", "tiny-seed1"], {})
    assert [child.status for child in trainings.begun] == [130, 130]
    assert [(one.state, one.epoch, one.epochs) for one in status.read(folder)] == [("interrupted", 2, 3)] * 2
    assert len(reproduce(folder, *tasks, jobs=2).finished) == 2
    assert all("resumed after epoch 2 of 3" in (folder / "logs" / f"{task.name}.log").read_text() for task in tasks)
    assert all(same_as_undisturbed(folder, task, tmp_path / task.name) for task in tasks)


PARENT = """
import math, sys
from pathlib import Path
from nin_onnx import recipe
from nin_onnx.train import reproduction
from nin_onnx.train.task import Task
tasks = [Task(recipe.load(sys.argv[1]), seed) for seed in (0, 1)]
options = reproduction.Options(jobs=2, on="cpu", export=False)
reproduction.reproduce(tasks, Path(sys.argv[2]), options, deadline=math.inf, echo=print)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has ended")
def test_trainings_do_not_outlive_a_parent_that_is_killed_and_save_what_they_have(
    tmp_path: Path, tiny_recipe: Recipes, trainings: Trainings
) -> None:
    tiny_recipe()
    folder = tmp_path / "out"
    command = [sys.executable, "-c", PARENT, str(tmp_path / "tiny.toml"), str(folder)]
    parent = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    trainings.once_all_wait(folder, ["tiny-seed0", "tiny-seed1"], lambda: None).join()
    assert [one.state for one in status.read(folder)] == ["running", "running"]  # while it trains
    parent.kill()
    parent.wait()
    assert all(WritableRun(folder / "runs" / f"tiny-seed{seed}").is_locked() for seed in (0, 1))
    trainings.hold.unlink()
    logs = [folder / "logs" / f"tiny-seed{seed}.log" for seed in (0, 1)]
    deadline = time.monotonic() + 60
    while not all("stopped after epoch 2 of 3" in log.read_text() for log in logs) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [one.state for one in status.read(folder)] == ["interrupted", "interrupted"]
    while any(WritableRun(folder / "runs" / f"tiny-seed{seed}").is_locked() for seed in (0, 1)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not WritableRun(folder / "runs" / "tiny-seed0").is_locked()


def test_a_recipe_whose_trainings_collapse_is_tried_with_the_next_seed_and_each_is_recorded(
    tmp_path: Path, tiny_recipe: Recipes, trainings: Trainings
) -> None:
    recipe = tiny_recipe("train.epochs=1", "optimizer.learning_rate=1e30")
    done = reproduce(tmp_path / "out", Task(recipe, 0), tries=2)
    assert list(done.dead) == ["tiny-modified-seed0"]
    assert "lower optimizer.learning_rate (1e+30)" in done.failed["tiny-modified-seed1"]
    died = collapses.read(tmp_path / "out" / "results")
    assert [(collapse.recipe, collapse.seed) for collapse in died] == [(recipe, 0), (recipe, 1)]
    assert all(f"by step {collapse.step}:" in collapse.summary["reason"] for collapse in died)
    assert died[0].summary["device"] == "cpu"
    assert not WritableRun(tmp_path / "out" / "runs" / "tiny-modified-seed0").state.exists()


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """A data folder with 64 training and 20 test images that are called MNIST."""
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    random_bytes = np.random.default_rng(0)
    for prefix, count in (("train", 64), ("t10k", 20)):
        images = random_bytes.integers(0, 256, (count, 28, 28), np.uint8)
        labels = random_bytes.integers(0, 10, count, np.uint8)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, count, 28, 28) + images.tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels.tobytes())
    return tmp_path / "data"


def start(where: Path, *arguments: str) -> subprocess.Popen[str]:
    """The command in `where`, an empty folder, on a machine that has torch, NumPy, safetensors and click alone."""
    where.mkdir(exist_ok=True)
    site = where.parent / "bare"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(BARE)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    environment["NIN_ONNX_DATA"] = str(where.parent / "data")
    line = [sys.executable, "-m", "nin_onnx", "reproduce", *arguments]
    return subprocess.Popen(line, env=environment, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def descendants(process: int) -> list[int]:
    """The numbers of a process and of all that it started."""
    children = Path(f"/proc/{process}/task/{process}/children")
    started = [int(child) for child in children.read_text().split()] if children.exists() else []
    return [process, *(number for child in started for number in descendants(child))]


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for its end, which is a good one."""
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said


def test_on_a_machine_with_little_installed_it_trains_says_what_fails_and_leaves_the_export_for_later(
    mnist: Path, tmp_path: Path
) -> None:
    settings = ("--set", "train.epochs=1", "--set", "train.batch_size=32")
    process = start(tmp_path / "here", "mnist-modern", "svhn", "cifar10", "--seeds", "1", *settings, "--device", "cpu")
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 1
    assert said.count("nothing is exported yet: export needs the package 'onnx'") == 1
    assert "mnist-modern-modified-seed0 finished" in said.splitlines()
    reasons = dict(line.split(" failed: ") for line in said.splitlines() if " failed: " in line)
    assert reasons.keys() >= {"svhn-modified-seed0", "cifar10-modified-seed0"}
    assert "a download needs the package 'pooch'" in reasons["cifar10-modified-seed0"]
    assert said.splitlines()[-1] == "error: failed: cifar10-modified-seed0, svhn-modified-seed0"
    folder = tmp_path / "here" / "runs" / "reproduced"
    summary = json.loads((folder / "results" / "mnist-modern-modified-seed0.json").read_text())
    assert summary["test"]["provenance"] == "unofficial copy"
    assert summary["test"]["images"] == 20


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_is_killed_again_and_again_ends_with_the_bytes_of_what_was_left_alone(mnist: Path, tmp_path: Path) -> None:
    arguments = ("mnist-modern", "--seeds", "2", "--set", "train.epochs=12", "--set", "train.batch_size=32", "--device", "cpu")
    begun = time.monotonic()
    finish(start(tmp_path / "undisturbed", *arguments))
    whole = time.monotonic() - begun
    moments = random.Random(0)
    kills = 0
    while kills < 6:
        process = start(tmp_path / "here", *arguments)
        try:
            process.communicate(timeout=whole * moments.uniform(0.1, 0.25))
            break  # what the kills left over was little
        except subprocess.TimeoutExpired:
            for number in descendants(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            process.communicate()
            kills += 1
    assert kills >= 2  # two take half of the time at most
    finish(start(tmp_path / "here", *arguments))
    folders = [tmp_path / where / "runs" / "reproduced" for where in ("here", "undisturbed")]
    files = [sorted(path.relative_to(folder) for path in folder.rglob("*")) for folder in folders]
    assert files[0] == files[1]
    for weights in (file for file in files[0] if file.suffix == ".safetensors"):
        assert (folders[0] / weights).read_bytes() == (folders[1] / weights).read_bytes()
