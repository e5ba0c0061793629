"""A graph that answers otherwise than PyTorch: the pass and the node are named, and nothing is written."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from nin_onnx.errors import ExportError
from nin_onnx.export import Export, export_run
from nin_onnx.export.passes import PASSES, Pass, PassResult
from nin_onnx.graph import copied

if TYPE_CHECKING:
    from tests.export.conftest import Contents


def changes_a_weight(model: onnx.ModelProto) -> PassResult:
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "cccp3.weight")
    weight = numpy_helper.to_array(tensor).copy()
    weight.flat[100] += 0.01
    tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    return PassResult(model, changed=True)


def changes_the_third_bias(model: onnx.ModelProto) -> PassResult:
    """Before names are stable and after."""
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name.endswith("cccp2.bias"))
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(1), tensor.name))
    return PassResult(model, changed=True)


def turns_ceil_mode_off(model: onnx.ModelProto) -> PassResult:
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "ceil_mode":
                attribute.i = 0
    return PassResult(model, changed=True)


def swaps_two_outputs(model: onnx.ModelProto) -> PassResult:
    swapped = {"logits": "probabilities", "probabilities": "logits"}
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [swapped.get(name, name) for name in names]
    return PassResult(model, changed=True)


def gives_nan(model: onnx.ModelProto) -> PassResult:
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "cccp6.bias")
    tensor.CopyFrom(numpy_helper.from_array(np.full(10, np.nan, np.float32), tensor.name))
    return PassResult(model, changed=True)


DIFFERS = r"the graph's '{}' differs from PyTorch's by {} of .*; it first appears at the node {}, in the graph that {} made"


@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (
            changes_a_weight,
            DIFFERS.format("class_maps", r"\d\.\de-\d\d", r"'cccp3' \(Conv\), by \d\.\de-\d\d", "changes_a_weight"),
        ),
        (turns_ceil_mode_off, r"the graph is not valid ONNX \(.*node name: pool1.*\)"),
        (swaps_two_outputs, DIFFERS.format("probabilities", ".*", r"'flatten' \(Flatten\), by .*", "swaps_two_outputs")),
        (gives_nan, DIFFERS.format("logits", "inf", r"'cccp6' \(Conv\)", "gives_nan")),
    ],
)
def test_a_pass_that_changes_the_answers_is_named_with_the_node_and_an_earlier_export_stays(
    broken: Pass, says: str, exported: Export, own_run: Path, contents: "Contents"
) -> None:
    shutil.copytree(exported.model.parent, own_run / "model")
    before = contents(own_run.parent)
    with pytest.raises(ExportError, match=rf"^{says}: nothing is written"):
        export_run(own_run, passes=(*PASSES, broken))
    assert contents(own_run.parent) == before


@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize("place", range(len(PASSES) + 1))
def test_a_pass_that_breaks_the_graph_is_named_wherever_it_stands(place: int, own_run: Path) -> None:
    found = r"first appears at the node .*\(Conv\), by \d\.\de-\d\d, in the graph that changes_the_third_bias made"
    with pytest.raises(ExportError, match=found):
        export_run(own_run, passes=(*PASSES[:place], changes_the_third_bias, *PASSES[place:]))


def test_a_graph_that_torch_made_wrong_is_compared_with_the_modules_of_the_network(
    raw: onnx.ModelProto, own_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = changes_the_third_bias(copied(raw)).model
    monkeypatch.setattr("nin_onnx.export.to_onnx.to_onnx", lambda classifier: broken)
    (node,) = (node for node in broken.graph.node if "network.cccp2.weight" in node.input)
    found = rf"first appears at the node '{node.name}' \(Conv\), by \d\.\de-\d\d, in the graph that torch.onnx.export made"
    with pytest.raises(ExportError, match=found):
        export_run(own_run)


@pytest.mark.usefixtures("quick_export")
def test_an_export_that_fails_leaves_no_file(own_run: Path, contents: "Contents") -> None:
    with pytest.raises(ExportError):
        export_run(own_run, passes=(*PASSES, gives_nan))
    assert list(contents(own_run.parent)) == ["run/model.safetensors"]
