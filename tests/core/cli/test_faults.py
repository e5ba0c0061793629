"""`--debug`, faults of ours, interrupts, and the end of a process."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from PIL import Image

from nin_onnx.errors import Interrupted, RunError

if TYPE_CHECKING:
    from tests.core.cli.conftest import Command, Start


@pytest.mark.parametrize("arguments", [["--debug", "export", "absent"], ["export", "absent", "--debug"]], ids=" ".join)
def test_debug_shows_where_an_error_came_from_wherever_it_stands(arguments: list[str], command: "Command") -> None:
    result = command(*arguments)
    first, *_, last = result.err.splitlines()
    assert first == "Traceback (most recent call last):"
    assert last.startswith("error: 'absent' is not a run folder")
    assert result.status == 2


def raising(error: BaseException) -> Callable[..., NoReturn]:
    def fail(*arguments: object, **options: object) -> NoReturn:
        raise error

    return fail


def test_a_fault_of_ours_is_one_line_that_asks_for_a_report(command: "Command", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nin_onnx.export.export_run", raising(RuntimeError("first\n\n  second")))
    command("export", "run").assert_error(2, "internal error", "--debug", "RuntimeError: first second")


def test_what_a_broken_file_says_neither_steers_the_terminal_nor_fills_it(
    command: "Command", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nin_onnx.export.export_run", raising(RunError("a\x1b[2J\x00b" + "x" * 70_000)))
    result = command("export", "run")
    result.assert_error(2, "error: a [2J bxxx")
    assert len(result.err) < 3000


@pytest.mark.parametrize(
    ("error", "words"), [(KeyboardInterrupt(), "stopped"), (Interrupted("stopped after 3 epochs"), "stopped after 3 epochs")]
)
def test_an_interrupted_command_is_status_130(
    error: BaseException, words: str, command: "Command", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nin_onnx.export.export_run", raising(error))
    command("export", "run").assert_error(130, f"error: {words}")


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal")
def test_ctrl_c_stops_a_training_with_one_line_that_says_how_to_go_on(start: "Start", tmp_path: Path) -> None:
    process = start("train", "digits", "--set", "train.epochs=10000", "--out", "run", cwd=tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("epoch ")
    process.send_signal(signal.SIGINT)
    result = process.ended()
    result._replace(out="").assert_error(130, "of 10000: go on with nin-onnx train --resume run")


def test_a_process_ends_with_the_status_of_its_error(start: "Start", tmp_path: Path) -> None:
    start("export", "absent", cwd=tmp_path).ended().assert_error(2, "'absent' is not a run folder")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no file names that are no text")
def test_a_file_name_that_no_encoding_has_is_told_all_the_same(
    start: "Start", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = os.fsdecode(b"\xff.png")
    Image.new("L", (28, 28)).save(tmp_path / name, "PNG")
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8:strict")
    told = [start("predict", "nin-mnist", name, "--threads", "1", *more, cwd=tmp_path).ended() for more in ([], ["--json"])]
    assert [result.status for result in told] == [0, 0]
    assert told[0].out.startswith("\N{REPLACEMENT CHARACTER}.png ")
    assert json.loads(told[1].out)["predictions"][0]["image"] == name
