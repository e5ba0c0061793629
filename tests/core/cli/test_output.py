"""What a command prints where, and the exit status that its verdict has."""

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import pytest

from nin_onnx.export.passes import PASSES
from nin_onnx.json_schema import SCHEMA
from nin_onnx.runtimes import RUNTIMES

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "results"

if TYPE_CHECKING:
    from tests.core.cli.conftest import Command, Result


def test_training_as_json_prints_nothing_else_on_stdout(trained: "Result") -> None:
    summary = json.loads(trained.out)
    assert (trained.status, summary["folder"], summary["recipe"], summary["epochs"]) == (0, "run", "digits-modified", 1)
    assert "epoch 1/1" in trained.err


def test_exporting_as_json_prints_nothing_else_on_stdout(exported: "Result", workplace: Path) -> None:
    found = json.loads(exported.out)
    assert (exported.status, exported.err) == (0, "")
    assert Path(found["model"]) == Path("run/model/model.onnx")
    assert found["bytes"] == (workplace / found["model"]).stat().st_size
    assert found["card"]["labels"] == list("0123456789")
    assert [one["name"] for one in found["passes"]] == [*(one.__name__ for one in PASSES), "check_golden"]


def test_evaluating_as_json_prints_nothing_else_on_stdout(model: Path, command: "Command") -> None:
    result = command("eval", model, "--runtime", "onnxruntime", "--json")
    report = json.loads(result.out)
    assert (result.status, result.err, report["exit_status"]) == (0, "", 0)
    assert [(row["runtime"], row["outcome"], row["accuracy"]["images"]) for row in report["rows"]] == [
        ("onnxruntime", "pass", 360)
    ]


def test_an_export_prints_what_each_pass_did_and_what_to_do_next(run: Path, tmp_path: Path, command: "Command") -> None:
    result = command("export", run, "--out", tmp_path / "out")
    *passes, size, following = result.out.splitlines()
    nodes = [re.fullmatch(r"(\w+) +(changed|no change) +(\d+) → (\d+) nodes", line) for line in passes]
    found = [match.groups() for match in nodes if match]
    assert len(found) == len(passes)
    assert [name for name, *_ in found] == [*(one.__name__ for one in PASSES), "check_golden"]
    file = tmp_path / "out" / "model.onnx"
    written = str(len(onnx.load(file).graph.node))
    assert found[-1] == ("check_golden", "no change", written, written)
    assert size == f"{file}  {file.stat().st_size / 1e6:.2f} MB, checked against PyTorch in float64"
    assert following == f"next: nin-onnx eval {tmp_path / 'out'}"
    assert (result.status, result.err) == (0, "")


def test_a_run_can_be_evaluated_by_its_folder(run: Path, command: "Command") -> None:
    result = command("eval", run, "--runtime", "onnxruntime", "--limit", 10)
    assert (result.status, result.err) == (0, "")
    assert re.search(r"^onnxruntime +pass +\S+ +cpu, fp32 .* 10 ", result.out, re.MULTILINE)


def test_a_requirement_that_is_not_met_is_status_1_and_named_in_the_last_line(model: Path, command: "Command") -> None:
    result = command("eval", model, "--runtime", "onnxruntime", "--limit", 30, "--max-error", 0, "--require-reproduced")
    assert result.status == 1
    verdict = " ".join(result.out.split()).partition("FAIL: ")[2]  # it may take two lines
    reproduced, error = verdict.split("; ")
    assert reproduced.startswith("onnxruntime: not reproduced:")
    assert re.fullmatch(r"onnxruntime: error \d+\.\d\d %, at most 0 % was asked for", error)


def test_a_runtime_whose_process_crashes_is_status_1(
    model: Path, tmp_path: Path, command: "Command", monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = """
        import os
        from nin_onnx.runtimes.backends.base import Runtime

        class Crashing(Runtime):
            def load(self, model, threads): os.abort()
            def run(self, images): ...
            def facts(self): ...
            @classmethod
            def check(cls): ...
        """
    (tmp_path / "crashing.py").write_text("\n".join(line[8:] for line in crashing.splitlines()))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(RUNTIMES, "crashing", "crashing:Crashing")
    result = command("eval", model, "--runtime", "crashing", "--runtime", "onnxruntime", "--limit", 10)
    assert result.status == 1
    assert re.search(r"^crashing +error +killed by SIGABRT", result.out, re.MULTILINE)
    assert re.search(r"^onnxruntime +pass", result.out, re.MULTILINE)


def test_where_no_runtime_is_installed_the_status_is_2_and_the_table_says_what_to_install(
    model: Path, command: "Command", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    result = command("eval", model, "--runtime", "onnxruntime")
    assert result.status == 2
    assert re.search(r"^onnxruntime +skipped .*pip install 'nin-onnx\[cpu\]'", result.out, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments",
    [
        ["models"],
        ["recipes"],
        ["results", RESULTS],
        ["results", RESULTS, "--missing"],
        ["data", "digits"],
        ["show", "nin-digits"],
        ["predict", "nin-digits", ROOT / "results" / "cifar10-seed1.png"],
        ["eval", "nin-digits", "--runtime", "reference", "--limit", "1"],
        ["doctor"],
    ],
    ids=lambda arguments: " ".join(map(str, arguments))[:20],
)
def test_json_begins_with_its_schema(arguments: list[object], command: "Command") -> None:
    result = command(*arguments, "--json")
    assert result.status == 0, result.err
    assert next(iter(json.loads(result.out).items())) == ("schema", SCHEMA)


def test_the_json_of_a_run_and_of_its_export_begins_with_the_schema(trained: "Result", exported: "Result") -> None:
    for result in (trained, exported):
        assert next(iter(json.loads(result.out).items())) == ("schema", SCHEMA)
