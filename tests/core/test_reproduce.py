"""`nin-onnx reproduce`: which runs it asks for, and what it tells when they are over."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from nin_onnx.cli import cli
from nin_onnx.errors import CheckFailedError, Interrupted, UnknownNameError
from nin_onnx.train import ledger, reproduction
from nin_onnx.train.reproduction import Reproduction
from nin_onnx.train.task import Task

ROOT = Path(__file__).parents[2]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Task]:
    """What is asked for; the answer is one run that ended."""
    tasks: list[Task] = []

    def reproduce(given: list[Task], folder: Path, **how: Any) -> Reproduction:
        tasks.extend(given)
        return Reproduction(finished={"mnist-seed0": {"test": {"error": 0.5}, "seconds": 90.0}})

    monkeypatch.setattr(reproduction, "reproduce", reproduce)
    monkeypatch.chdir(tmp_path)
    return tasks


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["reproduce", *arguments])


def test_without_a_ledger_all_that_the_paper_has_is_asked_for_in_the_order_of_value(asked: list[Task]) -> None:
    assert "1 finished, 0 failed, 0 left" in call().output
    dead = {"cifar10-no-dropout": 2}  # so many of its first seeds
    assert [(task.recipe.name, task.seed) for task in asked] == [
        (name, dead.get(name, 0) + seed) for name, seeds in ledger.ORDER for seed in range(seeds)
    ]


def test_what_the_ledger_has_is_not_asked_for_again_unless_it_is_overridden(asked: list[Task]) -> None:
    Path("results").symlink_to(ROOT / "results")
    call("mnist-modern")
    assert ("mnist-modern", 0) not in [(task.recipe.name, task.seed) for task in asked]
    asked.clear()
    call("mnist-modern", "--seeds", "1", "--set", "train.epochs=2")
    (task,) = asked
    assert (task.recipe.name, task.seed, task.recipe.train.epochs) == ("mnist-modern-modified", 0, 2)


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
    monkeypatch.setattr(reproduction, "reproduce", lambda tasks, folder, **how: done)
    result = call()
    assert isinstance(result.exception, error)
    assert result.exception.exit_status == status
    assert "failed    svhn-seed0: no data" in result.output
    assert ("left      cifar10-seed0" in result.output) == bool(done.left)
    told = json.loads(call("--json").output)
    assert told["failed"] == {"svhn-seed0": "no data"}


@pytest.mark.parametrize("minutes", ["nan", "inf", "0", "-1"])
def test_a_time_limit_that_is_none_is_refused(minutes: str, asked: list[Task]) -> None:
    result = call("--time-limit", minutes)
    assert (result.exit_code, asked) == (2, [])
    assert "Invalid value for '--time-limit'" in result.output


def test_torchrun_is_refused_since_every_process_would_run_everything(asked: list[Task], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert "one process" in call().output
    assert asked == []
