"""`--python NAME=PATH`: a runtime in another Python, which brings its own packages."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from nin_onnx.cli import cli
from nin_onnx.errors import UnknownNameError
from nin_onnx.runtimes import EvalOptions, evaluate

Writer = Callable[..., Path]


@pytest.fixture
def interpreter(tmp_path: Path) -> Callable[[str], Path]:
    """A Python that notes where it may look for modules, with some lines before it starts."""

    def write(lines: str = "") -> Path:
        path = tmp_path / "python"
        path.write_text(f'#!/bin/sh\necho "$PYTHONPATH" > {tmp_path}/noted\n{lines}\nexec {sys.executable} "$@"\n')
        path.chmod(0o755)
        return path

    return write


def test_the_runtime_runs_in_the_other_python_which_gets_nothing_but_nin_onnx(
    tiny_model: Writer, interpreter: Callable[..., Path], tmp_path: Path
) -> None:
    rows = evaluate(
        tiny_model(), EvalOptions(runtimes=["reference", "onnxruntime"], interpreters={"reference": interpreter()})
    ).rows
    assert [row.outcome for row in rows] == ["pass", "pass"]
    noted = Path((tmp_path / "noted").read_text().strip())
    assert noted.name == "path"
    assert noted.parent.name == "reference"


def test_what_the_other_python_lacks_is_its_reason(tiny_model: Writer, tmp_path: Path) -> None:
    """A bare Python: in its own folder nothing is installed."""
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    (row,) = evaluate(tiny_model(), EvalOptions(runtimes=["onnxruntime"], interpreters={"onnxruntime": bare})).rows
    assert row.outcome == "error"
    assert row.reason
    assert "ModuleNotFoundError: No module named 'numpy'" in row.reason


def test_a_package_is_looked_for_where_it_would_run(
    tiny_model: Writer, interpreter: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nin_onnx.runtimes.backends.base.find_spec", lambda name: None)  # this Python has none
    rows = evaluate(tiny_model(), EvalOptions(runtimes=["tract", "onnxruntime"], interpreters={"tract": interpreter()})).rows
    assert [row.outcome for row in rows] == ["pass", "skipped"]


def test_an_interpreter_for_an_unknown_runtime_stops_before_anything_runs(tiny_model: Writer) -> None:
    with pytest.raises(UnknownNameError, match="unknown runtime 'tractor': did you mean 'tract'"):
        evaluate(tiny_model(), EvalOptions(runtimes=["reference"], interpreters={"tractor": Path(sys.executable)}))


@pytest.mark.parametrize("value", ["tract", "tract=", "tract=/no/such/python", "tract=/"])
def test_what_is_no_name_and_no_program_is_wrong_usage(value: str) -> None:
    result = CliRunner().invoke(cli, ["eval", "nin-mnist", "--python", value])
    assert result.exit_code == 2
    assert f"'{value}' should be NAME=PATH" in result.output
