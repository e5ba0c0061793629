"""A model that keeps its weights in a file beside it: hashed with it, run, copied with it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from nin_onnx.errors import ModelError
from nin_onnx.runtimes import EvalOptions, evaluate
from nin_onnx.runtimes.read_model import read_model

Writer = Callable[..., Path]


@pytest.fixture
def model(tiny_model: Writer) -> Path:
    """The tiny model, its kernel in the folder `weights`."""
    path = tiny_model()
    graph = onnx.load(path)
    (path.parent / "weights").mkdir()
    onnx.save_model(graph, path, save_as_external_data=True, location="weights/all.bin", size_threshold=100)
    return path


def test_size_and_hash_count_both_files(model: Path) -> None:
    content = model.read_bytes() + (model.parent / "weights" / "all.bin").read_bytes()
    found = read_model(model)
    assert found.external == ("weights/all.bin",)
    assert (found.size, found.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_it_runs_wherever_eval_is_started(model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["onnxruntime", "openvino", "opencv", "tract", "ncnn", "mnn", "reference"]
    rows = evaluate(model.relative_to(tmp_path), EvalOptions(runtimes=names)).rows
    assert [(row.outcome, row.reason) for row in rows] == [("pass", None)] * len(names)


def test_whoever_is_handed_one_file_says_so(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nin_onnx.runtimes.backends.onnxruntime_node.need_npm", lambda package: None)
    (row,) = evaluate(model, EvalOptions(runtimes=["onnxruntime-node"])).rows
    assert (row.outcome, row.reason) == ("skipped", "the model keeps weights in other files, and is handed over as one")


def test_a_failure_is_copied_with_them_and_its_node_is_found(model: Path, made_up: Callable[[str], str], tmp_path: Path) -> None:
    name = made_up("WrongInOneRow")
    (row,) = evaluate(model, EvalOptions(runtimes=[name], repro=tmp_path / "repro")).rows
    assert row.first_difference == "logits (Flatten)"
    onnx.checker.check_model(str(tmp_path / "repro" / name / "model.onnx"))
    copied = onnx.load(tmp_path / "repro" / name / "model.onnx")
    assert {tensor.name for tensor in copied.graph.initializer} == {"kernel", "scale"}
    assert json.loads((tmp_path / "repro" / name / "report.json").read_text())["row"]["runtime"] == name


@pytest.mark.parametrize("place", ["../secret", "/etc/hostname", "absent", "", "."])
def test_a_place_that_is_not_a_file_in_its_folder_is_refused(model: Path, place: str) -> None:
    (model.parent.parent / "secret").write_bytes(bytes(10_000))
    graph = onnx.load(model, load_external_data=False)
    (kernel,) = (tensor for tensor in graph.graph.initializer if tensor.name == "kernel")
    next(entry for entry in kernel.external_data if entry.key == "location").value = place
    model.write_bytes(graph.SerializeToString())
    with pytest.raises(ModelError, match=r"kernel"):
        read_model(model)
