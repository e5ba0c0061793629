"""The pass: that it simplifies, and that the golden check sees what onnxsim's own does not."""

import contextlib

import numpy as np
import onnx
import onnxsim.onnx_simplifier
import pytest
from onnx import TensorProto, helper, numpy_helper

from nin_onnx.errors import ExportError
from nin_onnx.export.passes import run_passes
from nin_onnx.export.passes.simplify import simplify
from nin_onnx.golden import Golden, golden_images
from nin_onnx.graph import copied


def cast_and_scale(factor: float | None = None, offset: float = 0) -> onnx.ModelProto:
    """images → Cast → × (4 - 1) → Identity → logits; or × `factor` + `offset`."""
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 8, 8, 1])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 8, 8, 1])
    cast = helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT)
    if factor is None:
        constants = {"one": 1.0, "four": 4.0}
        nodes = [
            cast,
            helper.make_node("Sub", ["four", "one"], ["three"]),
            helper.make_node("Mul", ["pixels", "three"], ["product"]),
            helper.make_node("Identity", ["product"], ["logits"]),
        ]
    else:
        constants = {"factor": factor, "offset": offset}
        nodes = [
            cast,
            helper.make_node("Mul", ["pixels", "factor"], ["product"]),
            helper.make_node("Add", ["product", "offset"], ["logits"]),
        ]
    tensors = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "made by hand", [images], [logits], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.fixture
def answers() -> Golden:
    """What `cast_and_scale` answers: pixels × 3."""
    images = golden_images(8, 8, 1)
    return Golden(images, {"logits": images.astype(np.float32) * 3})


def let_core_return(model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has onnxsim's compiled core answer with `model`, whatever it is given."""
    content = model.SerializeToString()
    monkeypatch.setattr(onnxsim.onnx_simplifier.C, "simplify", lambda *arguments: content)


def test_constants_are_folded_and_identities_go() -> None:
    after, changed = simplify(cast_and_scale())
    assert changed
    assert [node.op_type for node in after.graph.node] == ["Cast", "Mul"]


def test_what_is_simple_is_left_alone() -> None:
    once, _ = simplify(cast_and_scale())
    again, _ = simplify(copied(once))
    assert again.graph == once.graph


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    simplify(cast_and_scale())
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_simplification_that_changes_the_answers_to_the_golden_images_is_seen_and_blamed(
    answers: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_core_return(cast_and_scale(3.3), monkeypatch)
    with pytest.raises(ExportError, match=r"'logits' differs .* in the graph that simplify made: nothing is written"):
        run_passes(cast_and_scale(), answers, (simplify,))


def test_onnxsim_s_own_check_would_not_have_seen_it(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Why it is off: numbers in [0, 1) cast to uint8 are black."""
    let_core_return(cast_and_scale(3.3), monkeypatch)
    _, same = onnxsim.simplify(cast_and_scale(), check_n=3, certify=False)
    assert same


@pytest.mark.parametrize(("offset", "seen"), [(0.9e-5, False), (1.2e-5, True)])
def test_rounding_is_measured_against_the_largest_logit(
    offset: float, seen: bool, answers: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_core_return(cast_and_scale(3, offset * 765), monkeypatch)  # 3 × 255; a black image's answer is 0
    with pytest.raises(ExportError) if seen else contextlib.nullcontext():
        run_passes(cast_and_scale(), answers, (simplify,))
