"""The pass: that it simplifies, and that onnxsim's check sees what it must see."""

import numpy as np
import onnx
import onnxsim.onnx_simplifier
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nin_onnx.errors import ExportError
from nin_onnx.export.passes.simplify import simplify
from nin_onnx.golden import Golden


def cast_and_scale(factor: NDArray[np.float32] | None = None) -> onnx.ModelProto:
    """images → Cast → × 3 → + 4 - 4 → logits; or × `factor`."""
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 8, 8, 1])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 8, 8, 1])
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["four", "one"], ["three"]),  # of constants
        helper.make_node("Mul", ["pixels", "three" if factor is None else "factor"], ["product"]),
        helper.make_node("Identity", ["product"], ["logits"]),
    ]
    constants = [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in {"one": 1, "four": 4}.items()]
    if factor is not None:
        constants.append(numpy_helper.from_array(factor, "factor"))
    graph = helper.make_graph(nodes, "made by hand", [images], [logits], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.fixture
def broken_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxsim's core returns a graph that answers to a black image as before, and to others by a tenth more."""
    wrong = cast_and_scale(np.full(1, 3.3, np.float32)).SerializeToString()
    monkeypatch.setattr(onnxsim.onnx_simplifier.C, "simplify", lambda *arguments: wrong)


def test_constants_are_folded_and_identities_go(golden: Golden) -> None:
    after = simplify(cast_and_scale(), golden)
    assert [node.op_type for node in after.graph.node] == ["Cast", "Mul"]


def test_what_is_simple_is_left_alone(golden: Golden) -> None:
    once = simplify(cast_and_scale(), golden)
    assert simplify(once, golden).graph == once.graph


def test_nothing_is_printed(golden: Golden, capfd: pytest.CaptureFixture[str]) -> None:
    simplify(cast_and_scale(), golden)
    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.usefixtures("broken_core")
def test_a_simplification_that_changes_the_answers_to_the_golden_images_is_seen(golden: Golden) -> None:
    with pytest.raises(ExportError, match=r"^onnxsim changed what the graph answers"):
        simplify(cast_and_scale(), golden)


@pytest.mark.usefixtures("broken_core")
def test_onnxsim_s_own_images_would_not_have_shown_it(capfd: pytest.CaptureFixture[str]) -> None:
    """Why the golden images are handed over: numbers in [0, 1) cast to uint8 are black."""
    _, same = onnxsim.simplify(cast_and_scale(), check_n=3, certify=False)
    assert same
