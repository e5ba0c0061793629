"""The pass, on pools made by hand."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from nin_onnx.export.passes.average_pool import average_pool
from nin_onnx.graph import copied


def pool(**attributes: Any) -> onnx.ModelProto:
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], **attributes)
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy")
    return helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("zeros", [{}, {"pads": [0, 0, 0, 0]}, {"ceil_mode": 1}, {"auto_pad": "VALID"}])
def test_without_padding_the_attribute_goes_and_the_numbers_stay(zeros: dict[str, Any]) -> None:
    before = pool(count_include_pad=1, **zeros)
    after, changed = average_pool(copied(before))
    assert changed
    assert "count_include_pad" not in {attribute.name for attribute in after.graph.node[0].attribute}
    assert len(after.graph.node[0].attribute) == len(before.graph.node[0].attribute) - 1
    x = np.random.default_rng(0).normal(0, 1, (2, 3, 7, 7)).astype(np.float32)  # 7: every window is whole, in ceil mode too
    (expected,), (found,) = (ReferenceEvaluator(model).run(["y"], {"x": x}) for model in (before, after))
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.mark.parametrize("padding", [{"pads": [0, 0, 1, 1]}, {"auto_pad": "SAME_UPPER"}])
def test_padding_that_counts_is_left_alone(padding: dict[str, Any]) -> None:
    model = pool(count_include_pad=1, **padding)
    assert average_pool(copied(model)) == (model, False)


def test_an_average_that_does_not_count_padding_is_left_alone() -> None:
    assert average_pool(pool()) == (pool(), False)
