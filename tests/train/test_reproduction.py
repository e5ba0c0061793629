"""Many runs, unattended: what is begun and when, what fails or collapses, and what is there afterwards.

The processes are stand-ins here; test_several_trainings.py has real ones.
"""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from nin_onnx.errors import Interrupted, NinOnnxError
from nin_onnx.recipe import Recipe, load, to_toml
from nin_onnx.train import reproduction, status, trainer
from nin_onnx.train.lock import locked
from nin_onnx.train.reproduction import Options, Reproduction
from nin_onnx.train.task import Task
from nin_onnx.train.writable_run import WritableRun

Recipes = Callable[..., Recipe]
COLLAPSE = {"step": 4, "reason": "the training collapsed", "device": "cpu", "precision": "float32"}
COLLAPSE |= {"hardware": {"processor": "Some CPU", "cores": 2}, "versions": {"torch": "2", "python": "3"}, "commit": None}

STATUS = {"ends": 0, "collapses": 1, "fails": 2, "runs": 130}


def quiet(line: str) -> None:
    pass


class Processes:
    """Stand-ins for `Child`: each does by its run's name what `does` says, `ends` if it says nothing."""

    def __init__(self) -> None:
        self.does: dict[str, str] = {}
        self.begun: list[str] = []
        """The command and the name of each, in order."""
        self.together = 0
        """So many trainings ran at the same moment, at most."""
        self.running: set[str] = set()
        self.variables: list[Mapping[str, str]] = []

    def __call__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> "Process":
        self.variables.append(environment)
        self.begun.append(f"{arguments[0]} {log.stem}")
        return Process(self, arguments, log.stem)


class Process:
    def __init__(self, all_of_them: Processes, arguments: Sequence[str], name: str) -> None:
        self.them, self.arguments, self.name, self.looks, self.stopped = all_of_them, arguments, name, 0, False
        self.does = self.them.does.get(f"{arguments[0]} {name}", self.them.does.get(name, "ends"))
        if arguments[0] == "train":
            self.them.running.add(name)
            self.them.together = max(self.them.together, len(self.them.running))
            if "--out" in arguments:
                run = WritableRun(Path(arguments[arguments.index("--out") + 1]))
                run.folder.mkdir(parents=True, exist_ok=True)
                (run.folder / "recipe.toml").write_text(to_toml(load(arguments[1])))
                run.state.touch()

    @property
    def status(self) -> int | None:
        self.looks += 1
        if (self.does == "runs" and not self.stopped) or self.looks < 4:
            return None
        self.them.running.discard(self.name)
        if self.arguments[0] == "export":
            return STATUS[self.does]
        run = WritableRun(Path(self.arguments[self.arguments.index("--out" if "--out" in self.arguments else "--resume") + 1]))
        if self.does in ("collapses", "fails"):  # at the start
            run.discard()
        if self.does == "ends":
            run.write_summary({"name": self.name, "epochs": 1, "images_per_second": 9.0, "seconds": 1.0, "train_error": 2.0})
            run.model.touch()
            run.state.unlink(missing_ok=True)
        return STATUS[self.does]

    def stop(self) -> None:
        self.stopped = True

    def kill(self) -> None:
        raise AssertionError("it would have ended")

    def new_lines(self) -> list[str]:
        return []

    @property
    def output(self) -> str:
        return json.dumps({"died": COLLAPSE}) if self.does == "collapses" else ""

    def failure(self) -> str:
        return "out of memory"


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    made = Processes()
    monkeypatch.setattr(reproduction, "Child", made)
    monkeypatch.setattr(reproduction, "POLL", 0.001)
    return made


def reproduce(folder: Path, *tasks: Task, deadline: float = math.inf, echo: Any = quiet, **options: Any) -> Reproduction:
    options = {"on": "cpu", "export": False, **options}
    return reproduction.reproduce(tasks, folder, Options(**options), deadline=deadline, echo=echo)


def seeds(recipe: Recipe, count: int) -> list[Task]:
    return [Task(recipe, seed) for seed in range(count)]


def test_all_that_is_finished_lies_in_one_folder(tmp_path: Path, tiny_recipe: Recipes, processes: Processes) -> None:
    done = reproduce(tmp_path, *seeds(tiny_recipe(), 2))
    assert list(done.finished) == ["tiny-seed0", "tiny-seed1"]
    assert (done.failed, done.left, done.stopped) == ({}, [], None)
    for name, summary in done.finished.items():
        assert json.loads((tmp_path / "results" / f"{name}.json").read_text()) == summary
        assert summary["name"] == name
    assert processes.begun == ["train tiny-seed0", "train tiny-seed1"]


@pytest.mark.parametrize("jobs", [1, 2, 3, 9])
def test_so_many_train_at_a_time_as_there_are_jobs(jobs: int, tmp_path: Path, tiny_recipe: Recipes, processes: Processes) -> None:
    done = reproduce(tmp_path, *seeds(tiny_recipe(), 5), jobs=jobs)
    assert len(done.finished) == 5
    assert processes.together == min(jobs, 5)


def test_several_trainings_share_the_cores_unless_the_user_gave_a_number(
    tmp_path: Path, tiny_recipe: Recipes, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nin_onnx.machine.hardware", lambda: {"cores": 7})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for folder, jobs in (("alone", 1), ("three", 3), ("ten", 10)):
        reproduce(tmp_path / folder, *seeds(tiny_recipe(), 1), jobs=jobs)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    reproduce(tmp_path / "told", *seeds(tiny_recipe(), 1), jobs=3)
    assert processes.variables == [{}, {"OMP_NUM_THREADS": "2"}, {"OMP_NUM_THREADS": "1"}, {}]


def test_a_run_that_fails_does_not_stop_the_others_and_says_why(
    tmp_path: Path, tiny_recipe: Recipes, processes: Processes
) -> None:
    processes.does = {"tiny-seed1": "fails"}
    said: list[str] = []
    done = reproduce(tmp_path, *seeds(tiny_recipe(), 3), echo=said.append)
    assert done.failed == {"tiny-seed1": "out of memory"}
    assert list(done.finished) == ["tiny-seed0", "tiny-seed2"]
    assert "tiny-seed1 failed: out of memory" in said


def test_what_has_ended_is_exported_while_others_train_and_is_not_trained_or_exported_again(
    tmp_path: Path, tiny_recipe: Recipes, processes: Processes
) -> None:
    tasks = seeds(tiny_recipe(), 2)
    reproduce(tmp_path, *tasks, export=True)
    assert processes.begun.index("export tiny-seed0") == 2  # beside the training of seed 1
    assert sorted(processes.begun) == ["export tiny-seed0", "export tiny-seed1", "train tiny-seed0", "train tiny-seed1"]
    (tmp_path / "runs" / "tiny-seed0" / "model").mkdir()
    (tmp_path / "runs" / "tiny-seed0" / "model" / "model.onnx").touch()
    processes.begun.clear()
    assert len(reproduce(tmp_path, *tasks, export=True).finished) == 2
    assert processes.begun == ["export tiny-seed1"]


def test_an_export_that_fails_is_told_keeps_the_result_and_is_tried_again(
    tmp_path: Path, tiny_recipe: Recipes, processes: Processes
) -> None:
    processes.does = {"export tiny-seed0": "fails"}
    (task,) = seeds(tiny_recipe(), 1)
    done = reproduce(tmp_path, task, export=True)
    assert done.failed == {task.name: "out of memory"}
    assert list(done.finished) == [task.name]
    processes.does.clear()
    assert reproduce(tmp_path, task, export=True).failed == {}
    assert processes.begun == ["train tiny-seed0", "export tiny-seed0", "export tiny-seed0"]


def test_a_folder_with_a_run_of_another_recipe_fails_by_name(tmp_path: Path, tiny_recipe: Recipes, processes: Processes) -> None:
    reproduce(tmp_path, Task(tiny_recipe("train.epochs=1"), 0))
    done = reproduce(tmp_path, Task(tiny_recipe("train.epochs=2"), 0))
    assert "is a run of another recipe" in done.failed["tiny-modified-seed0"]


def test_a_broken_recipe_or_summary_in_the_folder_fails_its_run_only(
    tmp_path: Path, tiny_recipe: Recipes, processes: Processes
) -> None:
    tasks = seeds(tiny_recipe(), 3)
    reproduce(tmp_path, *tasks[:2])
    (tmp_path / "runs" / "tiny-seed0" / "recipe.toml").write_text("[")
    (tmp_path / "runs" / "tiny-seed1" / "summary.json").write_text("{")
    done = reproduce(tmp_path, *tasks)
    assert list(done.failed) == ["tiny-seed0", "tiny-seed1"]
    assert list(done.finished) == ["tiny-seed2"]
    assert [one.state for one in status.read(tmp_path)] == ["done", "done", "failed"]  # seed 0 can be read still


def test_when_the_time_is_up_all_are_stopped_and_the_interrupted_go_on_first(
    tmp_path: Path, tiny_recipe: Recipes, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduction, "TOO_LATE", 0.0)
    processes.does = {"tiny-seed0": "fails", "tiny-seed2": "runs", "tiny-seed3": "runs"}
    tasks = seeds(tiny_recipe(), 6)
    done = reproduce(tmp_path, *tasks, jobs=2, deadline=time.monotonic() + 2)
    assert (done.stopped, list(done.finished)) == ("the time is up", ["tiny-seed1"])
    assert done.left == ["tiny-seed2", "tiny-seed3", "tiny-seed4", "tiny-seed5"]
    processes.begun.clear()
    processes.does.clear()
    assert reproduce(tmp_path, *tasks, jobs=2).left == []
    assert processes.begun == [f"train tiny-seed{seed}" for seed in (2, 3, 0, 4, 5)]


def test_nothing_is_begun_in_the_last_seconds_since_it_could_not_even_load_its_data(
    tmp_path: Path, tiny_recipe: Recipes, processes: Processes
) -> None:
    done = reproduce(tmp_path, *seeds(tiny_recipe(), 1), deadline=time.monotonic() + reproduction.TOO_LATE - 1)
    assert (done.stopped, done.left, processes.begun) == ("the time is up", ["tiny-seed0"], [])


def test_an_export_that_is_left_when_the_time_is_up_is_said(
    tmp_path: Path, tiny_recipe: Recipes, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduction, "TOO_LATE", 0.0)
    processes.does = {"export tiny-seed0": "runs"}
    done = reproduce(tmp_path, *seeds(tiny_recipe(), 1), export=True, deadline=time.monotonic() + 2)
    assert (list(done.finished), done.left, done.failed, done.stopped) == (["tiny-seed0"], [], {}, "the time is up")


def test_a_collapsed_seed_is_recorded_and_the_next_unused_one_takes_its_place(
    tmp_path: Path, tiny_recipe: Recipes, processes: Processes
) -> None:
    recipe = tiny_recipe()
    processes.does = {"tiny-seed0": "collapses", "tiny-seed3": "collapses"}
    said: list[str] = []
    done = reproduce(tmp_path, *seeds(recipe, 2), tries=4, used={("tiny", 2)}, jobs=2, echo=said.append)
    assert sorted(done.finished) == ["tiny-seed1", "tiny-seed4"]
    assert (done.failed, done.left) == ({}, [])
    assert done.dead == {"tiny-seed0": COLLAPSE["reason"], "tiny-seed3": COLLAPSE["reason"]}
    assert "tiny-seed0 collapsed at step 4" in said
    recorded = json.loads((tmp_path / "results" / "dead" / "tiny-seed3.json").read_text())
    assert recorded == {"recipe": "tiny", "seed": 3, **COLLAPSE, "settings": json.loads(json.dumps(asdict(recipe)))}


def test_a_second_call_goes_on_with_the_seed_that_took_the_place_of_a_collapsed_one(
    tmp_path: Path, tiny_recipe: Recipes, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduction, "TOO_LATE", 0.0)
    processes.does = {"tiny-seed0": "collapses", "tiny-seed1": "runs"}
    (task,) = seeds(tiny_recipe(), 1)
    assert reproduce(tmp_path, task, tries=4, deadline=time.monotonic() + 2).left == ["tiny-seed1"]
    processes.does.clear()
    assert list(reproduce(tmp_path, task, tries=4).finished) == ["tiny-seed1"]
    assert processes.begun == ["train tiny-seed0", "train tiny-seed1", "train tiny-seed1"]


def test_after_so_many_collapsed_seeds_the_run_has_failed(tmp_path: Path, tiny_recipe: Recipes, processes: Processes) -> None:
    processes.does = {f"tiny-seed{seed}": "collapses" for seed in range(9)}
    done = reproduce(tmp_path, *seeds(tiny_recipe(), 1), tries=4)
    assert list(done.dead) == ["tiny-seed0", "tiny-seed1", "tiny-seed2"]
    assert done.failed == {"tiny-seed3": COLLAPSE["reason"]}


def test_a_collapsed_seed_is_not_tried_again_but_by_a_recipe_that_was_mended(
    tmp_path: Path, tiny_recipe: Recipes, processes: Processes
) -> None:
    processes.does = {"tiny-modified-seed0": "collapses"}
    assert list(reproduce(tmp_path, Task(tiny_recipe("optimizer.learning_rate=9"), 0)).failed) == ["tiny-modified-seed0"]
    processes.does.clear()
    again = reproduce(tmp_path, Task(tiny_recipe("optimizer.learning_rate=9"), 0))
    assert (list(again.failed), len(processes.begun)) == (["tiny-modified-seed0"], 1)
    mended = reproduce(tmp_path, Task(tiny_recipe("optimizer.learning_rate=0.1"), 0))
    assert list(mended.finished) == ["tiny-modified-seed0"]


def test_two_reproductions_do_not_work_in_the_same_folder(
    tmp_path: Path, tiny_recipe: Recipes, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduction, "LOCK_TIMEOUT", 0.0)
    with locked(tmp_path, NinOnnxError("busy")), pytest.raises(NinOnnxError, match="another nin-onnx reproduce works in"):
        reproduce(tmp_path, *seeds(tiny_recipe(), 1))
    assert processes.begun == []
    assert len(reproduce(tmp_path, *seeds(tiny_recipe(), 1)).finished) == 1


def test_a_training_whose_time_is_up_saves_and_goes_on_to_the_same_bytes(tmp_path: Path, tiny_recipe: Recipes) -> None:
    recipe = tiny_recipe()
    with pytest.raises(Interrupted, match="stopped at step 1 of 4 in epoch 1 of 3"):
        trainer.train(recipe, tmp_path / "run", on="cpu", deadline=time.monotonic(), echo=quiet)
    with pytest.raises(Interrupted, match="stopped at step 2 of 4 in epoch 1 of 3"):
        trainer.resume(tmp_path / "run", on="cpu", deadline=time.monotonic(), echo=quiet)
    trainer.resume(tmp_path / "run", on="cpu", echo=quiet)
    trainer.train(recipe, tmp_path / "undisturbed", on="cpu", echo=quiet)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (tmp_path / "undisturbed" / "model.safetensors").read_bytes()
