"""PyTorch as a runtime: the checkpoint beside the model, and why it cannot be used."""

from collections.abc import Callable
from importlib import util
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from nin_onnx import recipe
from nin_onnx.card import Card, write_card
from nin_onnx.golden import Golden, golden_images, write_golden
from nin_onnx.runtimes import EvalOptions, evaluate
from nin_onnx.runtimes.backends.base import Unusable
from nin_onnx.runtimes.backends.pytorch import PyTorch
from nin_onnx.runtimes.read_model import read_model
from nin_onnx.train.checkpoint import Checkpoint, build_classifier, save_classifier, sha256

LABELS = tuple("0123456789")


@pytest.fixture(scope="module")
def digits_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the digits' network with random weights, what it answers in float64, and any graph with its card."""
    folder = tmp_path_factory.mktemp("digits")
    trained = recipe.load("digits")
    torch.manual_seed(0)
    classifier = build_classifier(trained).eval()
    save_classifier(folder / "model.safetensors", classifier.state_dict(), Checkpoint(trained, 0, LABELS, {}, {}))
    images = golden_images(8, 8, 1)
    with torch.inference_mode():
        outputs = classifier.double()(torch.from_numpy(images))
    golden = Golden(images, {name: output.float().numpy() for name, output in outputs._asdict().items()})
    write_golden(folder, golden)
    zeros = numpy_helper.from_array(np.zeros((1, 10), np.float32), "logits")
    pixels = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 8, 8, 1])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])
    graph = helper.make_graph([helper.make_node("Constant", [], ["logits"], value=zeros)], "zeros", [pixels], [logits])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    weights = sha256(folder / "model.safetensors")
    write_card(model, Card("d", "nin-digits", LABELS, "", 8, 8, 1, (), "digits", None, {}, golden.hash, weights))
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def test_the_checkpoint_in_float32_agrees_with_the_network_in_float64(digits_model: Path) -> None:
    report = evaluate(digits_model, EvalOptions(runtimes=["pytorch"], threads=1))
    (row,) = report.rows
    assert (row.outcome, row.reason) == ("pass", None)
    assert row.parity
    assert row.parity.differences.keys() == {"logits", "probabilities", "class_maps"}
    assert row.facts
    facts = row.facts
    assert (facts.version, facts.device, facts.precision, facts.threads) == (torch.__version__, "cpu", "fp32", 1)


def test_it_does_not_run_the_graph(digits_model: Path) -> None:
    report = evaluate(digits_model, EvalOptions(runtimes=["reference"]))
    assert report.rows[0].outcome == "fail"


def test_it_accepts_the_model_that_was_exported_from_the_checkpoint_beside_it(digits_model: Path) -> None:
    PyTorch.accepts(read_model(digits_model))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no checkpoint 'model.safetensors' beside the model"), (b"others", "was not exported from the 'model.safetensors'")],
    ids=["absent", "another"],
)
def test_without_its_own_checkpoint_it_is_skipped(tiny_model: Callable[..., Path], content: bytes | None, reason: str) -> None:
    path = tiny_model(weights="0" * 64)
    if content is not None:
        path.with_suffix(".safetensors").write_bytes(content)
    report = evaluate(path, EvalOptions(runtimes=["pytorch"]))
    assert report.rows[0].outcome == "skipped"
    assert report.rows[0].reason
    assert reason in report.rows[0].reason
    assert report.exit_status == 2


def test_a_model_without_card_has_no_checkpoint_to_trust(tiny_model: Callable[..., Path]) -> None:
    with pytest.raises(Unusable, match="no card"):
        PyTorch.accepts(read_model(tiny_model(card=False)))


@pytest.mark.parametrize("package", ["torch", "safetensors"])
def test_a_package_that_is_not_installed_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    def find(name: str) -> ModuleSpec | None:
        return None if name == package else util.find_spec(name)

    monkeypatch.setattr("nin_onnx.runtimes.backends.base.find_spec", find)
    with pytest.raises(Unusable, match=f"the package '{package}' is not installed") as caught:
        PyTorch.check()
    assert caught.value.install == "pip install 'nin-onnx[train]'"
