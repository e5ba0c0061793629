"""Run after run, unattended: what fails, what is stopped, what is killed, and what is there afterwards."""

import json
import math
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nin_onnx.errors import Interrupted, RunError
from nin_onnx.train import reproduction, trainer
from nin_onnx.train.recipe import Recipe
from nin_onnx.train.reproduction import Reproduction, Task

ROOT = Path(__file__).parents[2]
Recipes = Callable[..., Recipe]


def quiet(line: str) -> None:
    pass


def reproduce(folder: Path, *tasks: Task, **how: Any) -> Reproduction:
    how = {"export": lambda run: None, "deadline": math.inf, "echo": quiet, "on": "cpu", **how}
    return reproduction.reproduce(tasks, folder, **how)


def test_all_that_is_finished_lies_in_one_folder(tmp_path: Path, tiny_recipe: Recipes) -> None:
    exported: list[Path] = []
    tasks = [Task(tiny_recipe("train.epochs=1"), seed) for seed in (0, 1)]
    done = reproduce(tmp_path, *tasks, export=exported.append)
    assert list(done.finished) == ["tiny-modified-seed0", "tiny-modified-seed1"]
    assert (done.failed, done.left, done.stopped) == ({}, [], None)
    for name, summary in done.finished.items():
        assert json.loads((tmp_path / "results" / f"{name}.json").read_text()) == json.loads(json.dumps(summary))
        assert (tmp_path / "runs" / name / "model.safetensors").exists()
    assert exported == [tmp_path / "runs" / name for name in done.finished]


def test_a_run_that_fails_does_not_stop_the_others_and_says_why(tmp_path: Path, tiny_recipe: Recipes) -> None:
    diverging = tiny_recipe("train.epochs=1", "optimizer.learning_rate=1e30")
    done = reproduce(tmp_path, Task(diverging, 0), Task(tiny_recipe("train.epochs=1"), 1))
    assert list(done.failed) == ["tiny-modified-seed0"]
    assert "lower optimizer.learning_rate" in done.failed["tiny-modified-seed0"]
    assert list(done.finished) == ["tiny-modified-seed1"]


def test_an_error_that_nobody_foresaw_does_not_stop_the_others_either(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(recipe: Recipe, folder: Path, *, seed: int, **how: Any) -> dict[str, Any]:
        if seed == 0:
            raise RuntimeError("CUDA out of memory")
        return {"seed": seed}

    monkeypatch.setattr(trainer, "train", train)
    done = reproduce(tmp_path, *(Task(tiny_recipe(), seed) for seed in (0, 1)))
    assert done.failed == {"tiny-seed0": "RuntimeError: CUDA out of memory"}
    assert done.finished == {"tiny-seed1": {"seed": 1}}


def test_an_export_that_fails_is_told_keeps_the_result_and_is_tried_again(tmp_path: Path, tiny_recipe: Recipes) -> None:
    def broken(run: Path) -> None:
        raise ValueError("the exporter is another version")

    task = Task(tiny_recipe("train.epochs=1"), 0)
    done = reproduce(tmp_path, task, export=broken)
    assert done.failed == {task.name: "ValueError: the exporter is another version"}
    assert (tmp_path / "results" / f"{task.name}.json").exists()
    exported: list[Path] = []
    assert reproduce(tmp_path, task, export=exported.append).failed == {}
    assert exported == [tmp_path / "runs" / task.name]


def test_what_has_ended_is_not_trained_again(tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(tiny_recipe("train.epochs=1"), 0)
    first = reproduce(tmp_path, task)
    monkeypatch.setattr(trainer, "train", None)
    monkeypatch.setattr(trainer, "resume", None)
    again = reproduce(tmp_path, task)
    assert again.finished == json.loads(json.dumps(first.finished))
    assert again.failed == {}


def test_a_folder_with_a_run_of_another_recipe_fails_by_name(tmp_path: Path, tiny_recipe: Recipes) -> None:
    reproduce(tmp_path, Task(tiny_recipe("train.epochs=1"), 0))
    done = reproduce(tmp_path, Task(tiny_recipe("train.epochs=2"), 0))
    assert "is a run of another recipe" in done.failed["tiny-modified-seed0"]


def test_what_is_interrupted_stops_the_rest_and_goes_on_to_the_same_bytes(tmp_path: Path, tiny_recipe: Recipes) -> None:
    recipe = tiny_recipe()

    def ctrl_c(line: str) -> None:
        if line.startswith("epoch 2/3"):
            raise KeyboardInterrupt

    tasks = [Task(recipe, seed) for seed in (0, 1)]
    done = reproduce(tmp_path, *tasks, echo=ctrl_c)
    assert done.left == ["tiny-seed0", "tiny-seed1"]
    assert done.stopped == "stopped"
    assert (done.finished, done.failed) == ({}, {})
    assert list(reproduce(tmp_path, *tasks).finished) == ["tiny-seed0", "tiny-seed1"]
    trainer.train(recipe, tmp_path / "undisturbed", on="cpu", echo=quiet)
    model = (tmp_path / "runs" / "tiny-seed0" / "model.safetensors").read_bytes()
    assert model == (tmp_path / "undisturbed" / "model.safetensors").read_bytes()


def test_nothing_is_begun_when_the_time_is_up(tmp_path: Path, tiny_recipe: Recipes) -> None:
    done = reproduce(tmp_path, Task(tiny_recipe(), 0), deadline=time.monotonic())
    assert (done.stopped, done.left) == ("the time is up", ["tiny-seed0"])
    assert not (tmp_path / "runs").exists()


def test_a_last_run_that_ends_when_the_time_is_up_is_kept_and_its_export_is_known_to_be_left(
    tmp_path: Path, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(recipe: Recipe, folder: Path, *, deadline: float, **how: Any) -> dict[str, Any]:
        while time.monotonic() < deadline:
            time.sleep(0.01)
        return {"seed": 0}

    monkeypatch.setattr(trainer, "train", slow)
    exported: list[Path] = []
    done = reproduce(tmp_path, Task(tiny_recipe(), 0), deadline=time.monotonic() + 0.1, export=exported.append)
    assert (done.finished, done.left, exported) == ({"tiny-seed0": {"seed": 0}}, [], [])
    assert done.stopped == "the time is up"


def test_a_training_whose_time_is_up_saves_and_goes_on_to_the_same_bytes(tmp_path: Path, tiny_recipe: Recipes) -> None:
    recipe = tiny_recipe()
    with pytest.raises(Interrupted, match="stopped at step 1 of 4 in epoch 1 of 3"):
        trainer.train(recipe, tmp_path / "run", on="cpu", deadline=time.monotonic(), echo=quiet)
    with pytest.raises(Interrupted, match="stopped at step 2 of 4 in epoch 1 of 3"):
        trainer.resume(tmp_path / "run", on="cpu", deadline=time.monotonic(), echo=quiet)
    trainer.resume(tmp_path / "run", on="cpu", echo=quiet)
    trainer.train(recipe, tmp_path / "undisturbed", on="cpu", echo=quiet)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (tmp_path / "undisturbed" / "model.safetensors").read_bytes()


def test_a_state_that_is_broken_fails_its_run_only(tmp_path: Path, tiny_recipe: Recipes) -> None:
    tasks = [Task(tiny_recipe("train.epochs=1"), seed) for seed in (0, 1)]
    run = tmp_path / "runs" / tasks[0].name
    with pytest.raises(Interrupted):
        trainer.train(tasks[0].recipe, run, on="cpu", deadline=time.monotonic(), echo=quiet)
    (run / "state.safetensors").write_bytes(b"cut off")
    done = reproduce(tmp_path, *tasks)
    assert "state.safetensors" in done.failed[tasks[0].name]
    assert list(done.finished) == [tasks[1].name]
    with pytest.raises(RunError):
        trainer.resume(run, on="cpu", echo=quiet)


BARE = """
import sys
import time
for name in ("matplotlib", "onnx", "onnxruntime", "onnxscript", "onnxsim", "pooch", "requests", "scipy", "sklearn", "tqdm"):
    sys.modules[name] = None  # as if it were not installed
from nin_onnx import cli
from nin_onnx.train import trainer
trainer.SAVE_EVERY = 0.05  # seconds: many a kill falls into a save
sys.argv = ["nin-onnx", "reproduce", *sys.argv[1:]]
cli.main()
"""


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
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "NIN_ONNX_DATA": str(where.parent / "data")}
    line = [sys.executable, "-c", BARE, *arguments]
    return subprocess.Popen(line, env=environment, cwd=where, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


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
    assert "not exported yet: export needs the package 'onnx'" in said
    lines = {line.split()[1].rstrip(":"): line for line in said.splitlines() if line.startswith(("finished ", "failed  "))}
    assert lines["mnist-modern-modified-seed0"].startswith("finished")
    assert lines["svhn-modified-seed0"].startswith("failed")
    assert "a download needs the package 'pooch'" in lines["cifar10-modified-seed0"]
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
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
    assert kills >= 2  # two take half of the time at most
    finish(start(tmp_path / "here", *arguments))
    folders = [tmp_path / where / "runs" / "reproduced" for where in ("here", "undisturbed")]
    files = [sorted(path.relative_to(folder) for path in folder.rglob("*")) for folder in folders]
    assert files[0] == files[1]
    for weights in (file for file in files[0] if file.suffix == ".safetensors"):
        assert (folders[0] / weights).read_bytes() == (folders[1] / weights).read_bytes()
