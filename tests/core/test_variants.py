"""The variant with float32 input: the same function of the same pixels, or a line that says why there is none."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from nin_onnx import models
from nin_onnx.card import read_card
from nin_onnx.errors import ModelError
from nin_onnx.golden import read_golden
from nin_onnx.variants import FLOAT_INPUT, float_input

SHIPPED = models.FOLDER / "nin-mnist" / "model.onnx"


def classifier(*first: onnx.NodeProto, outputs: tuple[str, ...] = ("logits",)) -> onnx.ModelProto:
    """A graph that begins with `first`, which give `pixels`, and takes its logits from their means."""
    nodes = [
        *first,
        helper.make_node("GlobalAveragePool", ["pixels"], ["means"]),
        helper.make_node("Flatten", ["means"], ["logits"]),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 4, 5, 3])
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    return helper.make_model(
        helper.make_graph(nodes, "g", [images], given), opset_imports=[helper.make_opsetid("", 18)], ir_version=8
    )


def transpose(source: str, target: str, perm: tuple[int, ...] = (0, 3, 1, 2)) -> onnx.NodeProto:
    return helper.make_node("Transpose", [source], [target], perm=perm)


def cast(source: str, target: str, to: int = TensorProto.FLOAT) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], to=to)


def test_the_shipped_model_gives_its_golden_vectors_from_float_pixels_bit_for_bit() -> None:
    golden = read_golden(SHIPPED.parent)
    assert golden
    original, variant = onnx.load(SHIPPED), float_input(onnx.load(SHIPPED))
    onnx.checker.check_model(variant, full_check=True)
    names = list(golden.outputs)
    planar = golden.images.transpose(0, 3, 1, 2).astype(np.float32)
    expected = ReferenceEvaluator(original).run(names, {"images": golden.images})
    for array, other in zip(expected, ReferenceEvaluator(variant).run(names, {"images": planar}), strict=True):
        np.testing.assert_array_equal(array, other)


def test_only_the_first_two_nodes_fall_away_and_the_card_tells_the_new_input() -> None:
    original, variant = onnx.load(SHIPPED), float_input(onnx.load(SHIPPED))
    assert [node.op_type for node in original.graph.node[:2]] == ["Transpose", "Cast"]
    assert [node.name for node in variant.graph.node] == [node.name for node in original.graph.node[2:]]
    card = read_card(variant)
    assert card
    assert card.input == FLOAT_INPUT
    dimensions = variant.graph.input[0].type.tensor_type.shape.dim
    assert [side.dim_param or side.dim_value for side in dimensions] == ["batch", 1, 28, 28]


@pytest.mark.parametrize(
    "first", [(transpose("images", "t"), cast("t", "pixels")), (cast("images", "t"), transpose("t", "pixels"))]
)
def test_the_two_may_stand_in_either_order(first: tuple[onnx.NodeProto, ...]) -> None:
    variant = float_input(classifier(*first))
    planar = np.arange(60, dtype=np.float32).reshape(1, 3, 4, 5)
    (logits,) = ReferenceEvaluator(variant).run(None, {"images": planar})
    np.testing.assert_allclose(np.asarray(logits), planar.mean((2, 3)))


@pytest.mark.parametrize(
    "model",
    [
        lambda: classifier(transpose("images", "t", (0, 3, 2, 1)), cast("t", "pixels")),
        lambda: classifier(transpose("images", "t"), cast("t", "pixels", TensorProto.FLOAT16)),
        lambda: classifier(cast("images", "pixels")),
        lambda: classifier(transpose("images", "t"), cast("t", "pixels"), transpose("images", "other")),
        lambda: classifier(transpose("images", "t"), cast("t", "pixels"), outputs=("logits", "t")),
        lambda: classifier(transpose("images", "t"), cast("t", "pixels"), outputs=("logits", "pixels")),
    ],
    ids=["height and width exchanged", "half precision", "no transpose", "read twice", "given away", "given away as float"],
)
def test_a_graph_that_begins_in_another_way_has_no_such_variant(model: Callable[[], onnx.ModelProto]) -> None:
    with pytest.raises(ModelError, match=r"the graph should begin with the Transpose and the Cast of 'images' alone"):
        float_input(model())


def test_the_given_model_stays_as_it_is(tmp_path: Path) -> None:
    model = onnx.load(SHIPPED)
    before = model.SerializeToString(deterministic=True)
    float_input(model)
    assert model.SerializeToString(deterministic=True) == before
