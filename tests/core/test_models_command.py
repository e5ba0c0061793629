"""`nin-onnx models`: what stands in a line is what the model's files say."""

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from nin_onnx import models


def test_every_shipped_model_has_a_line_with_error_interval_size_input_and_license(printed: Callable[..., str]) -> None:
    lines = {line.split()[0]: line for line in printed("models").splitlines()[1:]}
    assert tuple(lines) == models.shipped()
    for part in ("0.44", "0.33-0.59", "10,000 mnist", "1.4", "uint8, 28×28×1", "10", "Apache-2.0"):
        assert f" {part} " in f"{lines['nin-mnist']} "


@pytest.mark.parametrize("name", models.shipped())
def test_json_tells_what_the_graph_is(printed: Callable[..., str], name: str) -> None:
    (row,) = (row for row in json.loads(printed("models", "--json"))["models"] if row["name"] == name)
    file = models.find(name)
    (images,) = onnx.load(file).graph.input
    sides = [side.dim_value for side in images.type.tensor_type.shape.dim[1:]]
    assert [row["height"], row["width"], row["channels"]] == sides
    assert row["bytes"] == file.stat().st_size
    assert row["classes"] == 10
    assert row["license"] == "Apache-2.0"
    assert row["test"]["errors"] / row["test"]["images"] == pytest.approx(row["test"]["error"] / 100)


def test_other_forms_of_a_model_are_named(printed: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "nin-mnist"
    (folder / "int8").mkdir(parents=True)
    for place in (folder, folder / "int8"):
        (place / "model.onnx").write_bytes(models.find("nin-mnist").read_bytes())
    monkeypatch.setattr(models, "FOLDER", folder.parent)
    (row,) = json.loads(printed("models", "--json"))["models"]
    assert row["variants"] == ["int8"]
