"""The reports of ONNX Runtime on a GPU that are published in results/cuda: whole, passed, and shown by the README as they are."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

ROOT = Path(__file__).parents[2]
REPORTS = sorted((ROOT / "results" / "cuda").glob("*.json"))


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A report, and its row of `onnxruntime-cuda`."""
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    (row,) = (row for row in report["rows"] if row["runtime"] == "onnxruntime-cuda")
    return report, row


def test_both_forms_of_the_cifar_10_model_are_there() -> None:
    assert [path.name for path in REPORTS] == ["nin-cifar10-int8.json", "nin-cifar10.json"]


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_a_report_is_as_the_schema_of_its_version_says(path: Path) -> None:
    """But for keys that were added after it was written: a GPU is not always there to write it anew."""
    report, _ = read(path)
    schemas = files("nin_onnx.runtimes.reports") / "schema"
    schema = json.loads((schemas / f"eval-{report['schema']}.json").read_text(encoding="utf-8"))
    errors = jsonschema.Draft202012Validator(schema).iter_errors(report)
    assert [error.message for error in errors if error.validator != "required"] == []


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_cuda_passed_on_all_test_images_with_no_layer_on_the_cpu(path: Path) -> None:
    report, row = read(path)
    facts = row["facts"]
    assert (row["outcome"], row["reason"]) == ("pass", None)
    assert (facts["package"], facts["version"], facts["device"]) == ("onnxruntime-gpu", "1.31.1", "cuda:0")
    assert row["accuracy"]["images"] == report["dataset"]["images"] == 10_000
    assert facts["assignment"]["CUDAExecutionProvider"]["Conv"] == 9
    assert {*facts["assignment"].get("CPUExecutionProvider", {})} <= {"DequantizeLinear"}


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)
def test_the_readme_shows_its_figures(path: Path) -> None:
    report, row = read(path)
    difference, allowed = max(row["parity"]["differences"].values()), row["parity"]["tolerance"]
    accuracy, changes = row["accuracy"], row["label_changes"]
    cells = [
        f"{difference:.1e}",
        f"{allowed:g}",
        f"{accuracy['error']:.2f} [{accuracy['low']:.2f}, {accuracy['high']:.2f}]",
        f"{changes['changes']} from {changes['against']}",
        f"{row['images_per_second']:,.0f}",
        report["model"]["sha256"][:12],
    ]
    assert f"| {' | '.join(cells)} |" in (ROOT / "README.md").read_text(encoding="utf-8")
