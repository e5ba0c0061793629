"""JUnit XML, Markdown and JSON of the same report: read by others' readers, they tell the same."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from junitparser import Error, Failure, JUnitXml, Skipped

from nin_onnx.cli import cli
from nin_onnx.data.dataset import Dataset
from nin_onnx.json_schema import SCHEMA
from nin_onnx.runtimes import Report
from nin_onnx.runtimes.criteria import Criteria
from nin_onnx.runtimes.reports.junit import junit
from nin_onnx.runtimes.reports.markdown import markdown

Writer = Callable[..., Path]

KINDS = ("Healthy", "GivesNaN", "WrongInOneRow", "RaisesOnRun", "Segfaults", "HoldsNoPackage", "TellsNothing")


@pytest.fixture(scope="module")
def report(report_on: Callable[..., Report], tiny_data: Callable[..., Dataset]) -> Report:
    """Rows of every outcome, on a data set."""
    return report_on(KINDS, dataset=tiny_data(20), criteria=Criteria(required=("onnxruntime",)))


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    text = (files("nin_onnx.runtimes.reports") / "schema" / f"eval-{SCHEMA}.json").read_text(encoding="utf-8")
    values: dict[str, Any] = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(values)
    return values


def test_the_junit_file_counts_what_the_json_does(report: Report, tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(junit(report), encoding="utf-8")
    xml = JUnitXml.fromfile(str(tmp_path / "report.xml"))
    found = [(case.classname, case.name, *map(type, case.result)) for suite in xml for case in suite]
    rows = report.to_dict()["rows"]
    outcomes = Counter(row["outcome"] for row in rows)
    wrong = {classname for classname, _, *results in found if results}
    assert wrong == {row["runtime"] for row in rows if row["outcome"] != "pass"}
    assert (xml.tests, xml.errors) == (len(found), outcomes["error"])
    assert len({runtime for runtime, _, *results in found if Failure in results}) == outcomes["fail"] + outcomes["skipped"]
    assert sum(Error in results for *_, results in ((*case[:2], case[2:]) for case in found)) == outcomes["error"] == 2
    assert ("Healthy", "runs") in found
    assert ("Healthy", "agrees") in found
    assert ("Healthy", "decides") in found
    assert ("GivesNaN", "decides", Failure) in found
    assert ("WrongInOneRow", "agrees", Failure) in found
    assert ("WrongInOneRow", "runs") in found


def test_a_runtime_that_nobody_asked_for_may_be_skipped(report: Report) -> None:
    quiet = replace(report, rows=tuple(replace(row, named=False) for row in report.rows))
    xml = JUnitXml.fromstring(junit(quiet).encode())
    assert [case.classname for suite in xml for case in suite if Skipped in map(type, case.result)] == ["HoldsNoPackage"]
    assert xml.skipped == 1


def test_accuracy_that_was_asked_for_is_a_case_of_its_own(report: Report) -> None:
    xml = JUnitXml.fromstring(junit(replace(report, criteria=Criteria(require_reproduced=True))).encode())
    failed = {(case.classname, case.name) for suite in xml for case in suite if Failure in map(type, case.result)}
    assert ("onnxruntime", "accuracy") in failed


def test_a_reason_with_characters_that_xml_cannot_hold_is_still_xml(report: Report) -> None:
    bad = replace(report.rows[4], reason="killed\x00 by \x1b[31m<&> \ud800")
    assert JUnitXml.fromstring(junit(replace(report, rows=(bad,))).encode()).errors == 1


def test_where_it_was_asked_for_json_and_markdown_tell_how_fast(
    tiny_model: Writer, schema: dict[str, Any], tmp_path: Path
) -> None:
    options = ["--bench", "--json", "--runtime", "reference", "--markdown", str(tmp_path / "r.md")]
    result = CliRunner().invoke(cli, ["eval", str(tiny_model()), *options], standalone_mode=False)
    values = json.loads(result.stdout)
    jsonschema.validate(values, schema)
    speed = values["rows"][0]["speed"]
    assert [(timing["batch"], len(timing["rounds"])) for timing in speed] == [(1, 5), (32, 5), (128, 5)]
    (line,) = (
        line for line in (tmp_path / "r.md").read_text(encoding="utf-8").splitlines() if line.startswith("| reference | unknown")
    )
    assert [cell.strip() for cell in line.split("|")][3:8:2] == [
        f"{speed[0]['milliseconds']:.2f}",
        *(f"{timing['images_per_second']:,.0f}" for timing in speed[1:]),
    ]


def test_the_markdown_table_has_a_row_for_each_runtime_and_a_line_for_each_reason(report: Report) -> None:
    lines = markdown(report).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert [line.split(" | ")[0].strip("| ") for line in table[2:]] == ["onnxruntime", *KINDS]
    reasons = {line.split("**")[1] for line in lines if line.startswith("- **")}
    assert reasons == {row.runtime for row in report.rows if row.outcome != "pass"}
    assert lines[0].startswith("### ❌ tiny on 8 runtimes")


def test_the_json_is_as_its_schema_says(report: Report, schema: dict[str, Any]) -> None:
    jsonschema.validate(json.loads(json.dumps(report.to_dict())), schema)


@pytest.mark.parametrize("change", [{"schema": 1}, {"rows": [{"runtime": "x"}]}, {"surprise": 1}])
def test_the_schema_refuses_what_is_not_so(report: Report, schema: dict[str, Any], change: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(json.dumps(report.to_dict() | change)), schema)


def test_the_command_writes_all_three(tiny_model: Writer, schema: dict[str, Any], tmp_path: Path) -> None:
    options = ["--junit", str(tmp_path / "r.xml"), "--markdown", str(tmp_path / "r.md"), "--json", "--runtime", "reference"]
    result = CliRunner().invoke(cli, ["eval", str(tiny_model()), *options], standalone_mode=False)
    values = json.loads(result.stdout)
    jsonschema.validate(values, schema)
    assert values["exit_status"] == 0
    assert JUnitXml.fromfile(str(tmp_path / "r.xml")).tests == 2
    assert (tmp_path / "r.md").read_text(encoding="utf-8").startswith("### ✅ tiny on 1 runtime\n")
