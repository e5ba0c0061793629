"""Where a difference begins, in graphs made by hand: pixels × 2, + 1, ReLU, mean."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nin_onnx.export.difference import first_difference, graph_values, largest_difference, origin_of_difference
from nin_onnx.golden import Golden, golden_images

IMAGES = golden_images(4, 4, 3)
PIXELS = IMAGES.astype(np.float64)
EXPECTED = (PIXELS * 2 - 100).clip(0).mean((2, 3))  # [N, height]: what the graph below answers
GOLDEN = Golden(IMAGES, {"logits": EXPECTED.astype(np.float32)})
ALL = slice(None)


def graph(factor: float = 2, offset: float = -100, *, relu: bool = True, fused: bool = False) -> onnx.ModelProto:
    """The network; `fused`: as 2 × (pixels - 50), which makes no value of the other form but those behind it."""
    steps = [("Add", "pixels", "offset", "shifted"), ("Mul", "shifted", "factor", "scaled")]
    if not fused:
        steps = [("Mul", "pixels", "factor", "product"), ("Add", "product", "offset", "scaled")]
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], name="cast", to=TensorProto.FLOAT),
        *(helper.make_node(op, [a, b], [y], name=op.lower()) for op, a, b, y in steps),
        helper.make_node("Relu" if relu else "Identity", ["scaled"], ["positive"], name="relu"),
        helper.make_node("ReduceMean", ["positive", "axes"], ["logits"], name="mean", keepdims=0),
    ]
    constants: dict[str, NDArray[np.float32 | np.int64]] = {
        "factor": np.array(factor, np.float32),
        "offset": np.array(offset / factor if fused else offset, np.float32),
        "axes": np.array([2, 3]),
    }
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 4, 4, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    made = helper.make_graph(nodes, "made by hand", [images], [logits], tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_the_right_graph_is_no_further_than_rounding() -> None:
    amount, name = largest_difference(graph_values(graph(), IMAGES), GOLDEN, ALL)
    assert name == "logits"
    assert amount < 1e-6


def test_the_amount_is_in_units_of_the_largest_answer() -> None:
    amount, _ = largest_difference({"logits": EXPECTED + 0.5}, GOLDEN, ALL)
    assert amount == pytest.approx(0.5 / EXPECTED.max(), rel=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_infinitely_far(value: float) -> None:
    assert largest_difference({"logits": np.full_like(EXPECTED, value)}, GOLDEN, ALL) == (np.inf, "logits")


@pytest.mark.parametrize(
    ("wrong", "node"),
    [
        (graph(factor=3), "'mul' (Mul), by 5.0e-01"),  # 3 for 2
        (graph(offset=-49), "'add' (Add), by 1.2e-01"),  # 51 of 2 × 255 - 100
        (graph(relu=False), "'mean' (ReduceMean), by 2.4e-01"),  # no ReLU, so nothing that is wrong before the means: 100 of 410
        (graph(factor=3, fused=True), "'add' (Add)"),
    ],
)
def test_the_first_node_that_differs_is_named(wrong: onnx.ModelProto, node: str) -> None:
    found = first_difference(wrong, graph_values(wrong, IMAGES), graph_values(graph(), IMAGES))
    assert found is not None
    assert found.startswith(node)


def test_a_right_graph_has_no_first_difference_though_it_computes_other_values_on_the_way() -> None:
    fused = graph(fused=True)
    assert first_difference(fused, graph_values(fused, IMAGES), graph_values(graph(), IMAGES)) is None


def test_values_on_the_way_that_nobody_else_computes_are_not_blamed_for_what_follows() -> None:
    fused = graph(fused=True, relu=False)
    found = first_difference(fused, graph_values(fused, IMAGES), graph_values(graph(), IMAGES))
    assert found is not None
    assert found.startswith("'mean'")


def test_the_first_graph_with_wrong_answers_is_named_with_who_made_it() -> None:
    stages = [("torch", graph()), ("good", graph(fused=True)), ("bad", graph(offset=-49)), ("later", graph(factor=4))]
    place = "; it first appears at the node 'add' (Add), by 1.2e-01, in the graph that bad made"
    assert origin_of_difference(stages, GOLDEN, ALL, None) == place


def test_a_first_graph_is_compared_with_what_the_modules_compute() -> None:
    def modules(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
        pixels = images.astype(np.float64)
        return {"pixels": pixels, "first": pixels * 2, "second": pixels * 2 - 100}

    place = origin_of_difference([("torch", graph(offset=-49))], GOLDEN, slice(1), modules)
    assert place.startswith("; it first appears at the node 'add' (Add), by ")
    assert place.endswith(", in the graph that torch made")


def test_nothing_is_said_of_graphs_that_are_right() -> None:
    assert origin_of_difference([("torch", graph())], GOLDEN, ALL, None) == ""
