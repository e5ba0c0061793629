"""The model that ships, on the real test images."""

import json
from pathlib import Path

import pytest

from nin_onnx import data, models
from nin_onnx.runtimes import Report, evaluate
from nin_onnx.runtimes.diagnosis import diagnose
from nin_onnx.runtimes.registry import runtime

RESULT = Path(__file__).parents[2] / "results" / "mnist-modern-seed0.json"


def judged(data_dir: Path, *runtimes: str, limit: int | None = None) -> Report:
    return evaluate(models.find("nin-mnist"), runtimes=runtimes, dataset=data.load("mnist", "test", data_dir), limit=limit)


def test_the_shipped_mnist_model_makes_the_errors_that_its_result_tells(data_dir: Path) -> None:
    (row,) = judged(data_dir, "onnxruntime").rows
    assert row.outcome == "pass"
    assert row.accuracy
    assert row.accuracy.images == 10_000
    assert abs(row.accuracy.errors - json.loads(RESULT.read_text())["test"]["errors"]) <= 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_runtime_that_can_run_here_decides_as_pytorch_does_on_the_shipped_mnist_model(data_dir: Path) -> None:
    names = [state.runtime for state in diagnose().runtimes if state.usable and runtime(state.runtime).by_default]
    report = judged(data_dir, *names, limit=1_000)
    assert {row.runtime: (row.outcome, row.reason) for row in report.rows} == dict.fromkeys(names, ("pass", None))
    assert len(names) >= 9
    changes = [row.label_changes for row in report.rows if row.label_changes]
    assert [(change.changes, change.images, change.against) for change in changes] == [(0, 1_000, "pytorch")] * (len(names) - 1)
