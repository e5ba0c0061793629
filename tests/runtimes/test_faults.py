"""Made-up runtimes that crash, hang, or lie: each ends as the right outcome, and leaves the others and the machine alone."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import nin_onnx
from nin_onnx.data.dataset import Dataset
from nin_onnx.runtimes import EvalOptions, Report, evaluate
from nin_onnx.runtimes.rows import Row

Writer = Callable[..., Path]
Data = Callable[..., Dataset]
Register = Callable[[str], str]

FAULTS = {
    "Aborts": ("error", "killed by SIGABRT; its last words: cannot allocate the thing"),
    "Segfaults": ("error", "killed by SIGSEGV"),
    "Hangs": ("error", "stopped at the time limit of 10 s"),
    "RaisesOnLoad": ("error", "RuntimeError: no such operator: NonMaxSuppression"),
    "RaisesOnRun": ("error", "ZeroDivisionError"),
    "ExitsSilently": ("error", "the worker ended without a result"),
    "ExitsWithStatus": ("error", "the worker ended with status 1; its last words: out of licenses"),
    "CannotBeMade": ("error", "ImportError: libfancy.so.1: cannot open shared object file"),
    "WritesRubbish": (
        "error",
        "the worker's result cannot be read (JSONDecodeError: Expecting property name enclosed in double ",
    ),
    "WritesLittle": ("error", "the worker's result cannot be read (it holds [], not ['again', 'batch 1', 'b"),
    "WritesAPickle": ("error", "the worker's result cannot be read (ValueError: Object arrays cannot be loaded when "),
    "GivesNaN": ("fail", "gives NaN or infinity in 'logits'"),
    "GivesWrongShape": ("fail", "gives 'logits' of shape [12, 3], expected [12, 4]"),
    "GivesOneRow": ("fail", "gives 'logits' of shape [1, 4], expected [12, 4]"),
    "GivesNothing": ("fail", "gives no 'logits'"),
    "GivesText": ("fail", "gives 'logits' as <U32, expected floating point"),
    "WrongInOneRow": ("fail", "'logits' differs from the golden vectors by "),
    "IsNotWhatWasAskedFor": ("skipped", "fell back to an abacus"),
    "HoldsNoPackage": ("skipped", "the package 'fancy' is not installed"),
    "Healthy": ("pass", None),
    "LeavesChild": ("pass", None),
    "UsesItsMemoryAgain": ("pass", None),
    "PrintsRubbish": ("pass", None),
    "AllocatesUntilRefused": ("error", "MemoryError"),
    "DependsOnItsNeighbors": ("fail", "an image's outputs depend on the other images of its batch: they move by "),
    "TellsNothing": ("pass", None),
    "TellsRoughly": ("pass", None),
}
STATUS = {"pass": 0, "fail": 1, "error": 1, "skipped": 2}


def alive(process: int) -> bool:
    """Whether it still runs; an orphan that has ended and waits for the system to notice does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def noted(path: Path, at_least: int) -> list[int]:
    """The process ids in the file, once there are so many."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        ids = path.read_text().split() if path.exists() else []
        if len(ids) >= at_least:
            return [int(process) for process in ids]
        time.sleep(0.02)
    raise AssertionError(f"fewer than {at_least} processes have started")


def all_end(processes: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(map(alive, processes))


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder that temporary files go to, in this process and those that it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)  # let it be looked up again
    return folder


def test_every_fault_has_its_outcome_and_touches_nothing_else(
    tiny_model: Writer, tiny_data: Data, made_up: Register, temporary: Path, tmp_path: Path
) -> None:
    report = evaluate(
        tiny_model(),
        EvalOptions(runtimes=["onnxruntime", *map(made_up, FAULTS), "reference"], dataset=tiny_data(20), batch=12, time_limit=10),
    )
    rows = {row.runtime: row for row in report.rows}
    outcomes = {name: (rows[name].outcome, rows[name].reason) for name in FAULTS}
    shortened = {name: (outcome, reason and reason[: len(FAULTS[name][1] or "")]) for name, (outcome, reason) in outcomes.items()}
    assert shortened == FAULTS
    assert {name: alone(report, row).exit_status for name, row in rows.items() if name in FAULTS} == {
        name: STATUS[outcome] for name, (outcome, _) in FAULTS.items()
    }
    assert all("\n" not in (row.reason or "") for row in report.rows)
    healthy = [rows[name] for name in ("onnxruntime", "reference", "Healthy", "LeavesChild", "UsesItsMemoryAgain")]
    assert [row.outcome for row in healthy] == ["pass"] * 5
    assert [row.accuracy.errors if row.accuracy else None for row in healthy] == [0] * 5
    assert all_end(noted(tmp_path / "ids", at_least=len(FAULTS)))
    assert list(temporary.iterdir()) == []


FALLS = {
    "SegfaultsWhenTimed": "when it was timed: killed by SIGSEGV",
    "RaisesWhenTimed": "when it was timed: RuntimeError: no batch above 32",
    "ExitsWhenTimed": "when it was timed: the worker ended without a result",
    "WritesRubbishWhenTimed": "when it was timed: the worker's result cannot be read (JSONDecodeError: ",
}


@pytest.mark.parametrize(
    "falls",
    [FALLS, pytest.param({"HangsWhenTimed": "when it was timed: stopped at the time limit of 9 s"}, marks=pytest.mark.slow)],
)
def test_whoever_falls_in_its_turn_is_an_error_and_leaves_the_others_whole(
    tiny_model: Writer,
    made_up: Register,
    falls: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    temporary: Path,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("nin_onnx.runtimes.workers.bench.ROUNDS", 2)
    report = evaluate(
        tiny_model(), EvalOptions(runtimes=["onnxruntime", *map(made_up, falls), "reference"], bench=True, time_limit=9)
    )
    first, *fallen, last = report.rows
    assert {row.runtime: row.reason and row.reason[: len(falls[row.runtime])] for row in fallen} == falls
    assert [(row.outcome, row.speed) for row in fallen] == [("error", ())] * len(falls)
    assert [(row.outcome, len(row.speed)) for row in (first, last)] == [("pass", 3)] * 2
    assert report.exit_status == 1
    assert all_end(noted(tmp_path / "ids", at_least=2 * len(falls)))
    assert list(temporary.iterdir()) == []


def test_a_runtime_that_hangs_is_ended_within_five_seconds_of_its_time_limit(tiny_model: Writer, made_up: Register) -> None:
    start = time.monotonic()
    report = evaluate(tiny_model(), EvalOptions(runtimes=[made_up("Hangs")], time_limit=2))
    assert report.rows[0].reason == "stopped at the time limit of 2 s"
    assert 2 < time.monotonic() - start < 7


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A control group that may hold 300 MB; who takes more is killed by the system."""
    first = Path("/sys/fs/cgroup/memory")  # where control groups of version 1 have it
    root, limit = (first, "memory.limit_in_bytes") if first.is_dir() else (first.parent, "memory.max")
    folder = root / f"nin-onnx-test-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / limit).write_text("300000000")
        if (folder / "memory.swap.max").exists():
            (folder / "memory.swap.max").write_text("0")
    except OSError as error:
        pytest.skip(f"no limit of memory can be set ({error.strerror})")
    else:
        monkeypatch.setenv("MADE_UP_GROUP", str(folder))
        yield
    finally:
        if folder.is_dir():
            folder.rmdir()


@pytest.mark.usefixtures("group")
def test_a_runtime_that_allocates_until_the_system_kills_it_is_an_error(
    tiny_model: Writer, made_up: Register, temporary: Path, tmp_path: Path
) -> None:
    report = evaluate(tiny_model(), EvalOptions(runtimes=[made_up("AllocatesUntilKilled"), "reference"]))
    assert [(row.outcome, row.reason) for row in report.rows] == [
        ("error", "killed by SIGKILL, perhaps for want of memory"),
        ("pass", None),
    ]
    assert report.exit_status == 1
    assert all_end(noted(tmp_path / "ids", at_least=1))
    assert list(temporary.iterdir()) == []


def alone(report: Report, row: Row) -> Report:
    return replace(report, rows=(row,))


EVALUATE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a process that is started in the background has not
from pathlib import Path
from nin_onnx.runtimes import RUNTIMES, EvalOptions, evaluate
RUNTIMES["Hangs"] = "made_up:Hangs"
evaluate(Path(sys.argv[1]), EvalOptions(runtimes=["Hangs"]))
"""


@pytest.fixture
def hanging(tiny_model: Writer, temporary: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An evaluation, from a checkout that is not installed, whose runtime hangs."""
    here = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(nin_onnx.__file__).parent.parent), str(Path(__file__).parent)]),
        "MADE_UP_IDS": str(tmp_path / "ids"),
    }
    process = subprocess.Popen([sys.executable, "-c", EVALUATE, tiny_model()], cwd=tmp_path, env=here, stderr=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


def test_ctrl_c_ends_the_worker_and_its_children_and_removes_the_temporary_files(
    hanging: subprocess.Popen[bytes], temporary: Path, tmp_path: Path
) -> None:
    processes = noted(tmp_path / "ids", at_least=2)
    assert all(map(alive, processes))
    assert list(temporary.iterdir()) != []
    hanging.send_signal(signal.SIGINT)
    assert hanging.wait(10) == -signal.SIGINT
    assert all_end(processes)
    assert list(temporary.iterdir()) == []


def test_nothing_outlives_an_evaluation_that_is_killed(hanging: subprocess.Popen[bytes], tmp_path: Path) -> None:
    processes = noted(tmp_path / "ids", at_least=2)
    assert all(map(alive, processes))
    hanging.kill()
    assert all_end(processes)
