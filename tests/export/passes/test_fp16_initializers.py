"""The pass, on a product made by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from nin_onnx.export import export_run
from nin_onnx.export.passes.fp16_initializers import LARGE, fp16_initializers
from nin_onnx.graph import copied

SIDE = 256
assert SIDE**2 == LARGE


def product(weight: NDArray[np.float32]) -> onnx.ModelProto:
    node = helper.make_node("MatMul", ["x", "zca.matrix"], ["y"], "zca")
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", side]) for name, side in zip("xy", weight.shape, strict=True)
    )
    graph = helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(weight, "zca.matrix")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def matrix(side: int = SIDE) -> NDArray[np.float32]:
    """Of half-precision numbers, the smallest and the largest among them."""
    found = np.random.default_rng(0).normal(0, 1, (side, side)).astype(np.float16)
    found[0, :4] = [6e-8, -6e-8, 65504, -65504]
    return found.astype(np.float32)


def test_numbers_of_half_precision_take_half_the_bytes_and_give_the_same_to_the_bit() -> None:
    before = product(matrix())
    after, changed = fp16_initializers(copied(before))
    assert changed
    onnx.checker.check_model(after, full_check=True)
    assert [node.name for node in after.graph.node] == ["zca.matrix_cast", "zca"]
    assert len(after.SerializeToString()) < 0.51 * len(before.SerializeToString())
    x = np.random.default_rng(1).normal(0, 1, (3, SIDE)).astype(np.float32)
    (expected,), (found,) = (ReferenceEvaluator(model).run(["y"], {"x": x}) for model in (before, after))
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("odd", [1 + 2**-11, 65520, 2**-25, np.inf - np.inf])
def test_one_number_that_half_precision_has_not_leaves_the_whole_alone(odd: float) -> None:
    weight = matrix()
    weight[5, 5] = odd
    model = product(weight)
    after, changed = fp16_initializers(copied(model))
    assert not changed
    assert after.SerializeToString() == model.SerializeToString()


def test_a_small_matrix_is_left_alone() -> None:
    model = product(matrix(SIDE - 1))
    assert fp16_initializers(copied(model)) == (model, False)


def test_twice_is_as_once() -> None:
    once, _ = fp16_initializers(product(matrix()))
    assert fp16_initializers(copied(once)) == (once, False)


@pytest.mark.slow
def test_a_whitened_graph_holds_its_matrix_in_half_precision_and_gives_the_networks_answers(
    make_run: Any, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", architecture="nin-mnist", preprocessing=("gcn55", "zca"))
    exported = export_run(run)  # which compares with PyTorch in float64, of the same matrix
    graph = onnx.load(exported.model).graph
    large = [(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in graph.initializer if tensor.dims[:1] == [784]]
    assert ("zca.matrix_half", TensorProto.FLOAT16, [784, 784]) in large
    assert exported.size < (run / "model.safetensors").stat().st_size - 784**2 * 2 + 50_000
