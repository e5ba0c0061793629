"""What `nin-onnx eval` refuses, and what it leaves behind where it cannot go on."""

from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from nin_onnx.cli import cli
from nin_onnx.errors import NinOnnxError
from nin_onnx.runtimes import evaluate

Writer = Callable[..., Path]


@pytest.mark.parametrize("option", ["--tolerance", "--max-error", "--time-limit"])
@pytest.mark.parametrize("value", ["nan", "inf", "1e999", "-1"])
def test_a_limit_that_nothing_exceeds_is_wrong_usage(option: str, value: str) -> None:
    result = CliRunner().invoke(cli, ["eval", option, value], standalone_mode=False)
    assert isinstance(result.exception, click.BadParameter)
    assert result.exception.exit_code == 2
    assert value in result.exception.message


def test_a_tolerance_of_zero_is_not_taken_for_none(tiny_model: Writer) -> None:
    (row,) = evaluate(tiny_model(), runtimes=["reference"], tolerance=0.0).rows
    assert row.parity
    assert (row.outcome, row.parity.tolerance) == ("fail", 0.0)


@pytest.mark.parametrize("option", ["--junit", "--markdown"])
def test_the_table_is_printed_where_a_file_cannot_be_written(tiny_model: Writer, tmp_path: Path, option: str) -> None:
    (tmp_path / "file").touch()
    options = ["--runtime", "reference", option, str(tmp_path / "file" / "report")]
    result = CliRunner().invoke(cli, ["eval", str(tiny_model()), *options], standalone_mode=False)
    assert isinstance(result.exception, NinOnnxError)
    assert "PASS" in result.stdout
