"""The graph as torch writes it, and the golden vectors."""

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from nin_onnx.export.to_onnx import OPSET, golden_vectors, to_onnx
from nin_onnx.golden import Golden
from nin_onnx.train.checkpoint import load_classifier


def test_the_exporter_says_nothing_and_leaves_logging_and_warnings_as_they_were(
    run: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    classifier, _ = load_classifier(run / "model.safetensors")
    filters = list(warnings.filters)
    with caplog.at_level(logging.INFO, "torch.onnx"):
        to_onnx(classifier)
        assert logging.getLogger("torch.onnx").level == logging.INFO
    assert tuple(capfd.readouterr()) == ("", "")
    assert warnings.filters == filters


def test_the_opset_is_the_one_that_was_asked_for(raw: onnx.ModelProto) -> None:
    assert [(entry.domain, entry.version) for entry in raw.opset_import if entry.domain == ""] == [("", OPSET)]


def test_the_golden_vectors_leave_the_network_as_it_was(run: Path) -> None:
    classifier, _ = load_classifier(run / "model.safetensors")
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    golden_vectors(classifier)
    after = classifier.state_dict()
    assert all(torch.equal(after[name], tensor) and after[name].dtype == tensor.dtype for name, tensor in before.items())


def test_the_golden_vectors_tell_images_and_classes_apart(golden: Golden) -> None:
    """Vectors that are all alike would let a graph pass that ignores its input."""
    logits = golden.outputs["logits"]
    assert np.ptp(logits, axis=0).min() > 0.1
    assert np.ptp(logits, axis=1).min() > 0.1
