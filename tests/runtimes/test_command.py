"""What `nin-onnx eval` refuses, and what it leaves behind where it cannot go on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from nin_onnx.cli import cli
from nin_onnx.errors import NinOnnxError
from nin_onnx.runtimes import EvalOptions, evaluate

Writer = Callable[..., Path]


@pytest.mark.parametrize("option", ["--tolerance", "--max-error", "--time-limit"])
@pytest.mark.parametrize("value", ["nan", "inf", "1e999", "-1"])
def test_a_limit_that_nothing_exceeds_is_wrong_usage(option: str, value: str) -> None:
    result = CliRunner().invoke(cli, ["eval", option, value], standalone_mode=False)
    assert isinstance(result.exception, click.BadParameter)
    assert result.exception.exit_code == 2
    assert value in result.exception.message


def test_a_tolerance_of_zero_is_not_taken_for_none(tiny_model: Writer) -> None:
    (row,) = evaluate(tiny_model(), EvalOptions(runtimes=["reference"], tolerance=0.0)).rows
    assert row.parity
    assert (row.outcome, row.parity.tolerance) == ("fail", 0.0)


@pytest.mark.parametrize("option", ["--junit", "--markdown"])
def test_the_table_is_printed_where_a_file_cannot_be_written(tiny_model: Writer, tmp_path: Path, option: str) -> None:
    (tmp_path / "file").touch()
    options = ["--runtime", "reference", option, str(tmp_path / "file" / "report")]
    result = CliRunner().invoke(cli, ["eval", str(tiny_model()), *options], standalone_mode=False)
    assert isinstance(result.exception, NinOnnxError)
    assert "PASS" in result.stdout


HANGS = "import made_up; from nin_onnx.runtimes import RUNTIMES; RUNTIMES['Hangs'] = 'made_up:Hangs'"


@pytest.mark.skipif(os.name != "posix", reason="SIGTERM is a signal")
def test_an_evaluation_that_is_terminated_leaves_no_temporary_folder(tiny_model: Writer, tmp_path: Path) -> None:
    code = f"{HANGS}; from nin_onnx.cli import main; main()"
    temporary, ids = tmp_path / "temporary", tmp_path / "ids"
    temporary.mkdir()
    places = {"PYTHONPATH": os.pathsep.join((str(Path(__file__).parent), str(Path(__file__).parents[2])))}
    environment = os.environ | places | {"TMPDIR": str(temporary), "MADE_UP_IDS": str(ids)}
    command = [sys.executable, "-c", code, "eval", str(tiny_model()), "--runtime", "Hangs"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (ids.exists() and len(ids.read_text().split()) == 2):  # the worker and its child
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert list(temporary.iterdir()) == []
