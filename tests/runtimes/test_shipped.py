"""The model that ships, on the real test images."""

import json
from pathlib import Path

import pytest

from nin_onnx import data, models
from nin_onnx.runtimes import Report, evaluate

RESULT = Path(__file__).parents[2] / "results" / "mnist-modern-seed0.json"


def judged(data_dir: Path, *runtimes: str) -> Report:
    return evaluate(models.find("nin-mnist"), runtimes=runtimes, dataset=data.load("mnist", "test", data_dir))


def test_the_shipped_mnist_model_makes_the_errors_that_its_result_tells(data_dir: Path) -> None:
    (row,) = judged(data_dir, "onnxruntime").rows
    assert row.outcome == "pass"
    assert row.accuracy
    assert row.accuracy.images == 10_000
    assert abs(row.accuracy.errors - json.loads(RESULT.read_text())["test"]["errors"]) <= 2


@pytest.mark.slow
def test_every_runtime_decides_as_pytorch_does_on_the_shipped_mnist_model(data_dir: Path) -> None:
    report = judged(data_dir, "pytorch", "onnxruntime", "reference")
    assert [row.outcome for row in report.rows] == ["pass"] * 3
    changes = [row.label_changes for row in report.rows[1:]]
    assert [(change.changes, change.images, change.against) for change in changes if change] == [
        (0, 10_000, "pytorch"),
        (0, 1_000, "pytorch"),
    ]
