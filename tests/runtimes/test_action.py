"""`action.yml`: its steps, read from the file and run as GitHub's runner would, in an empty folder."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from junitparser import Error, Failure, JUnitXml
from onnx import numpy_helper

from nin_onnx import models

ROOT = Path(__file__).parents[2]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
EXAMPLE = (ROOT / "examples" / "workflow.yml").read_text(encoding="utf-8")
EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
SHELLS = {"bash": ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"]}
"""What the runner starts for the `shell` of a step, before the name of the script."""


@dataclass
class Runner:
    """One job: its folders, and what the steps have told so far."""

    folder: Path
    source: Path
    more: dict[str, str] = field(default_factory=dict)
    """Environment variables that the job sets."""
    inputs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    log: str = ""

    def use(self, **given: str) -> int:
        """Run the action; gives the exit status of the first step that failed, or 0."""
        given = {name.replace("_", "-"): value for name, value in given.items()}
        assert given.keys() <= ACTION["inputs"].keys()
        self.inputs = {name: entry.get("default", "") for name, entry in ACTION["inputs"].items()} | given
        return next((status for step in STEPS if (status := self.run(step))), 0)

    def run(self, step: Mapping[str, Any]) -> int:
        """Run one step as the runner does: its script in a file, its expressions filled in, its files for what it tells."""
        assert step.keys() <= {"id", "name", "shell", "env", "run"}, f"this runner knows no more: {step}"
        told = {name: self.folder / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH")}
        for path in told.values():
            path.write_text("")
        script = self.folder / "script.sh"
        script.write_text(self.filled(step["run"]))
        done = subprocess.run(
            [*SHELLS[step["shell"]], str(script)],
            cwd=self.workspace,
            env=self.environment() | {name: str(path) for name, path in told.items()} | self.given(step),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.log += done.stdout
        assert (told["GITHUB_ENV"].read_text(), told["GITHUB_PATH"].read_text()) == ("", ""), "the job stays as it was"
        lines = told["GITHUB_OUTPUT"].read_text().splitlines()
        self.outputs[step["id"]] = dict(line.split("=", 1) for line in lines)
        return done.returncode

    def environment(self) -> dict[str, str]:
        """That of a job which knows nothing of the environment that runs this test."""
        ours = {"PYTHONPATH", "VIRTUAL_ENV", "NIN_ONNX_DATA"}
        path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if part != str(Path(sys.executable).parent))
        return {name: value for name, value in os.environ.items() if name not in ours} | {
            "PATH": path,
            "RUNNER_TEMP": str(self.folder / "temp"),
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_ACTION_PATH": str(self.source),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            **self.more,
        }

    def given(self, step: Mapping[str, Any]) -> dict[str, str]:
        return {name: self.filled(value) for name, value in step.get("env", {}).items()}

    def filled(self, text: str) -> str:
        return EXPRESSION.sub(lambda found: self.value(found[1]), text)

    def value(self, expression: str) -> str:
        """What an expression stands for; those that are not used here fail."""
        match expression.split("."):
            case ["inputs", name]:
                return self.inputs[name]
            case ["steps", step, "outputs", name]:
                return self.outputs[step].get(name, "")
        raise AssertionError(f"this runner does not know '{expression}'")

    def result(self) -> dict[str, str]:
        """The action's own outputs."""
        return {name: self.filled(entry["value"]) for name, entry in ACTION["outputs"].items()}

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def summary(self) -> str:
        path = self.folder / "summary.md"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def failures(self) -> list[str]:
        return [line for line in self.log.splitlines() if line.startswith("::error")]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The action's own checkout: what git would bring, and what it would not stays away."""
    target = tmp_path_factory.mktemp("checkout") / "nin-onnx"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "runs", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"
    )
    shutil.copytree(ROOT, target, symlinks=True, ignore=ignored)
    return target


@pytest.fixture(scope="module")
def installed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """A job in which the action has run once, on the shipped model."""
    folder = tmp_path_factory.mktemp("job")
    for name in ("workspace", "temp"):
        (folder / name).mkdir()
    runner = Runner(folder, source)
    status = runner.use(**FIRST, extras="cpu", python=base())
    assert status == 0, runner.log
    yield runner
    shutil.rmtree(folder)


FIRST = {
    "model": "nin-mnist",
    "runtimes": "onnxruntime reference",
    "arguments": "--threads 1",
    "dataset": "",
    "npm": "",
    "max-error": "",
}


def base() -> str:
    """The Python that the one of this test was made from."""
    return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")


def again(runner: Runner, **given: str) -> int:
    """Judge another model in the same environment: all steps but the first, which took the minutes."""
    first, *others = STEPS
    assert first["id"] == "install"
    runner.log = ""
    (runner.folder / "summary.md").unlink(missing_ok=True)
    shutil.rmtree(Path(runner.outputs["install"]["environment"]) / "reports", ignore_errors=True)
    runner.inputs = runner.inputs | FIRST | {name.replace("_", "-"): value for name, value in given.items()}
    return next((status for step in others if (status := runner.run(step))), 0)


def test_nothing_that_a_caller_gives_stands_in_a_script() -> None:
    assert all("${{" not in step["run"] for step in STEPS)
    named = set(EXPRESSION.findall(json.dumps(STEPS)))
    assert {name.removeprefix("inputs.") for name in named if name.startswith("inputs.")} == ACTION["inputs"].keys()


def test_the_example_gives_inputs_and_reads_outputs_that_there_are() -> None:
    (step,) = [step for step in yaml.safe_load(EXAMPLE)["jobs"]["runtimes"]["steps"] if "nin-onnx@" in step.get("uses", "")]
    assert step["with"].keys() <= ACTION["inputs"].keys()
    assert {name for name, entry in ACTION["inputs"].items() if entry.get("required")} <= step["with"].keys()
    read = re.findall(rf"steps\.{step['id']}\.outputs\.([\w-]+)", EXAMPLE)
    assert read
    assert set(read) <= ACTION["outputs"].keys()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_model_that_passes_leaves_summary_junit_and_json_and_nothing_in_the_workspace(installed: Runner) -> None:
    assert again(installed, model="nin-mnist") == 0, installed.log
    result = installed.result()
    assert result["status"] == "0"
    assert installed.summary.startswith("### ✅ nin-mnist on 2 runtimes\n")
    report = json.loads(Path(result["json"]).read_text())
    assert {row["runtime"]: row["outcome"] for row in report["rows"]} == {"onnxruntime": "pass", "reference": "pass"}
    assert report["settings"]["threads"] == 1
    xml = JUnitXml.fromfile(result["junit"])
    assert (xml.tests, xml.failures, xml.errors, xml.skipped) == (4, 0, 0, 0)
    assert Path(result["markdown"]).read_text(encoding="utf-8") == installed.summary
    assert installed.failures == []
    assert list(installed.workspace.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_model_that_does_not_give_the_networks_answers_fails_the_job_in_one_line(installed: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(models.FOLDER / "nin-mnist", folder)
    model = onnx.load(folder / "model.onnx")
    weights = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * 1.01, weights.name))
    onnx.save(model, folder / "model.onnx")
    assert again(installed, model=str(folder)) == 1, installed.log
    assert installed.result()["status"] == "1"
    assert installed.summary.startswith("### ❌ nin-mnist on 2 runtimes\n")
    xml = JUnitXml.fromfile(installed.result()["junit"])
    found = [(case.classname, case.name) for suite in xml for case in suite if Failure in map(type, case.result)]
    assert found == [("onnxruntime", "agrees"), ("reference", "agrees")]
    assert not [case for suite in xml for case in suite if Error in map(type, case.result)]
    assert installed.failures == ["::error title=nin-onnx::the model does not pass: see the summary of the job"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_where_no_runtime_can_run_the_job_says_so_and_the_reports_tell_why(installed: Runner) -> None:
    assert again(installed, runtimes="onnxruntime-cuda") == 2, installed.log  # the extra cpu was installed
    assert installed.failures == ["::error title=nin-onnx::none of the runtimes could run: see the summary of the job"]
    assert installed.result()["status"] == "2"
    report = json.loads(Path(installed.result()["json"]).read_text())
    assert [(row["runtime"], row["outcome"]) for row in report["rows"]] == [("onnxruntime-cuda", "skipped")]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "model", ["absent 100%.onnx", "$(touch pwned)", "'; touch pwned; '", "--help", "`touch pwned`\n::error::no"]
)
def test_a_model_that_cannot_be_read_fails_the_job_in_one_line_and_is_no_command(installed: Runner, model: str) -> None:
    assert again(installed, model=model) == 2, installed.log
    assert installed.result() == {"status": "2", "junit": "", "json": "", "markdown": ""}
    assert installed.summary == ""
    (failure,) = installed.failures
    assert failure.startswith("::error title=nin-onnx::there is no file '")
    assert " ".join(model.split()).replace("%", "%25") in failure
    assert list(installed.workspace.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_error_on_a_data_set_is_measured_and_judged(installed: Runner, data_dir: Path) -> None:
    given = {"dataset": "mnist", "runtimes": "onnxruntime", "arguments": "--limit 1000\n--threads 1"}
    job = replace(installed, more={"NIN_ONNX_DATA": str(data_dir)})
    assert again(job, **given, max_error="5") == 0, job.log
    report = json.loads(Path(job.result()["json"]).read_text())
    assert [row["accuracy"]["images"] for row in report["rows"]] == [1000]
    assert again(job, **given, max_error="0.1") == 1, job.log
    assert "at most 0.1 % was asked for" in job.summary


@pytest.mark.slow
def test_a_data_set_or_a_package_that_is_unknown_fails_the_job_in_one_line(installed: Runner) -> None:
    for given in ({"dataset": "--help"}, {"dataset": "mnits"}, {"npm": "left-pad"}):
        assert again(installed, **given) == 2, installed.log
        assert len(installed.failures) == 1
        assert "cannot be had" in installed.failures[0]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("npm") is None, reason="Node.js is not installed: sudo apt-get install nodejs npm")
def test_a_runtime_from_npm_is_brought_and_judged(installed: Runner) -> None:
    assert again(installed, runtimes="onnxruntime-web", npm="onnxruntime-web") == 0, installed.log
    report = json.loads(Path(installed.result()["json"]).read_text())
    assert [(row["runtime"], row["outcome"]) for row in report["rows"]] == [("onnxruntime-web", "pass")]


@pytest.mark.slow
def test_a_python_that_is_absent_fails_the_job_in_one_line(installed: Runner, tmp_path: Path) -> None:
    (tmp_path / "temp").mkdir()
    (tmp_path / "workspace").mkdir()
    runner = Runner(tmp_path, installed.source)
    assert runner.use(model="nin-mnist", python="python-that-is-absent") == 127
    assert len(runner.failures) == 1
    assert "cannot be installed" in runner.failures[0]
