"""`nin-onnx reproduce`: which runs it asks for, what it tells when they are over, and what --status shows."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nin_onnx.cli import cli
from nin_onnx.errors import CheckFailedError, Interrupted, UnknownNameError
from nin_onnx.results.missing import ORDER
from nin_onnx.train import reproduction
from nin_onnx.train import status as run_status
from nin_onnx.train.reproduction import Options, Reproduction
from nin_onnx.train.task import Task

ROOT = Path(__file__).parents[2]


used: list[Options] = []
"""How it is asked for."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Task]:
    """What is asked for; the answer is one run that ended."""
    tasks: list[Task] = []
    used.clear()

    def reproduce(given: list[Task], folder: Path, options: Options, **how: Any) -> Reproduction:
        tasks.extend(given)
        used.append(options)
        run_status.write(folder, [task.name for task in given], [], {})
        return Reproduction(finished={"mnist-seed0": {"test": {"error": 0.5}, "seconds": 90.0}})

    monkeypatch.setattr(reproduction, "reproduce", reproduce)
    monkeypatch.chdir(tmp_path)
    return tasks


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["reproduce", *arguments])


def test_without_a_ledger_all_that_the_paper_has_is_asked_for_in_the_order_of_value(asked: list[Task]) -> None:
    assert "1 finished, 0 failed, 0 left" in call().output
    expected = [(name, seed) for name, seeds in ORDER for seed in range(seeds)]
    assert [(task.recipe.name, task.seed) for task in asked] == expected
    assert (used[0].jobs, used[0].tries, used[0].used) == (1, 1, set())


def test_what_the_ledger_has_is_not_asked_for_again_unless_it_is_overridden(asked: list[Task]) -> None:
    Path("results").symlink_to(ROOT / "results")
    call("mnist-modern")
    assert ("mnist-modern", 0) not in [(task.recipe.name, task.seed) for task in asked]
    asked.clear()
    call("mnist-modern", "--seeds", "1", "--set", "train.epochs=2")
    (task,) = asked
    assert (task.recipe.name, task.seed, task.recipe.train.epochs) == ("mnist-modern-modified", 0, 2)


def test_a_seed_that_the_ledger_knows_to_be_dead_is_not_asked_for_nor_tried_in_place_of_another(asked: list[Task]) -> None:
    Path("results").symlink_to(ROOT / "results")
    call("cifar10-no-dropout", "--jobs", "3", "--retry-dead")
    assert [(task.recipe.name, task.seed) for task in asked] == [("cifar10-no-dropout", 2)]
    assert (used[0].jobs, used[0].tries) == (3, 4)
    assert {("cifar10-no-dropout", 0), ("cifar10-no-dropout", 1), ("mnist-modern", 0)} <= {*used[0].used}


def test_the_status_is_shown_without_a_training_as_a_table_and_as_json(asked: list[Task]) -> None:
    call("svhn", "--out", "here")
    asked.clear()
    assert call("--status", "--out", "here").output.split() == ["left", "svhn-seed0", "1", "left"]
    (run,) = json.loads(call("--status", "--out", "here", "--json").output)["runs"]
    assert (run["run"], run["state"], run["epoch"]) == ("svhn-seed0", "left", None)
    assert "nothing was begun in 'nowhere'" in str(call("--status", "--out", "nowhere").exception)
    assert asked == []


def test_an_unknown_recipe_is_named_before_anything_runs(asked: list[Task]) -> None:
    assert isinstance(call("mnist-modern", "cifar").exception, UnknownNameError)
    assert asked == []


@pytest.mark.parametrize(
    ("done", "error", "status"),
    [
        (Reproduction(failed={"svhn-seed0": "no data"}), CheckFailedError, 1),
        (Reproduction(failed={"svhn-seed0": "no data"}, left=["cifar10-seed0"], stopped="the time is up"), Interrupted, 130),
    ],
)
def test_what_failed_or_is_left_is_listed_and_decides_the_exit_status(
    done: Reproduction,
    error: type[CheckFailedError | Interrupted],
    status: int,
    asked: list[Task],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def reproduce(tasks: list[Task], folder: Path, options: Options, **how: Any) -> Reproduction:
        run_status.write(folder, [*done.failed, *done.left], [], done.failed)
        return done

    monkeypatch.setattr(reproduction, "reproduce", reproduce)
    result = call()
    assert isinstance(result.exception, error)
    assert result.exception.exit_status == status
    assert "svhn-seed0: no data" in result.output.splitlines()
    assert ("left    cifar10-seed0" in result.output) == bool(done.left)
    told = json.loads(call("--json").output)
    assert told["failed"] == {"svhn-seed0": "no data"}


@pytest.mark.parametrize("minutes", ["nan", "inf", "0", "-1"])
def test_a_time_limit_that_is_none_is_refused(minutes: str, asked: list[Task]) -> None:
    result = call("--time-limit", minutes)
    assert (result.exit_code, asked) == (2, [])
    assert "Invalid value for '--time-limit'" in result.output


def test_torchrun_is_refused_since_every_process_would_run_everything(asked: list[Task], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert "starts its own processes" in call().output
    assert asked == []
