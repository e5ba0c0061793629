"""The emulator: without saturation it is the graph; with it, whole numbers spelled out. Every form of a product is known."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from quantized_graphs import LAYERS, model, qdq, shipped, vpmaddubsw, weight_zeros, widened

from nin_onnx import models
from nin_onnx.eight_bits.emulation import Emulator
from nin_onnx.evaluator import evaluator
from nin_onnx.golden import golden_images

RANDOM = np.random.default_rng(0)
CONVOLUTIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "plain": ((2, 4, 6, 6), (3, 4, 3, 3), {}),
    "odd channels": ((1, 3, 6, 6), (2, 3, 3, 3), {"pads": [1, 0, 2, 1]}),
    "strides and dilations": ((2, 2, 9, 8), (3, 2, 3, 2), {"strides": [2, 3], "dilations": [2, 1], "pads": [1, 1, 1, 1]}),
    "groups": ((2, 6, 5, 5), (4, 3, 3, 3), {"group": 2}),
    "depthwise": ((1, 4, 5, 5), (4, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}),
    "same upper": ((1, 2, 6, 7), (2, 2, 4, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "same lower": ((1, 2, 6, 7), (2, 2, 4, 2), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "one side": ((2, 3, 9), (2, 3, 4), {"pads": [2, 1]}),
}


def small(shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Weights that cannot saturate."""
    return RANDOM.integers(-64, 65, shape).astype(np.int8)


def pixels(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return RANDOM.integers(-3, 253, shape).astype(np.float32)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_a_convolution_that_cannot_saturate_is_the_specifications(case: str, kind: type) -> None:
    shape, window, settings = CONVOLUTIONS[case]
    graph = qdq("Conv", small(window), rank=len(shape), kind=kind, **settings)
    emulator, x = Emulator(graph), pixels(shape)
    assert_near(emulator.run({"x": x})["y"], ort(graph, x))
    assert emulator.moved == {"layer": 0.0}


def assert_near(found: NDArray[Any], expected: NDArray[Any]) -> None:
    """Within what float32 sums round, which cancel here: in units of the largest value."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def ort(graph: onnx.ModelProto, x: NDArray[Any]) -> NDArray[Any]:
    """What ONNX Runtime gives for the graph as it is written: with floats between DequantizeLinear."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: NDArray[Any] = session.run(None, {"x": x})[0]
    return found


@pytest.mark.parametrize(
    ("operator", "window", "axis", "settings"),
    [
        ("MatMul", (5, 3), 1, {}),
        ("Gemm", (5, 3), 1, {"alpha": 0.5, "beta": 2.0}),
        ("Gemm", (3, 5), 0, {"transB": 1}),
        ("Gemm", (4, 3), 1, {"transA": 1}),
    ],
)
def test_a_matrix_product_that_cannot_saturate_is_the_specifications(
    operator: str, window: tuple[int, int], axis: int, settings: dict[str, Any]
) -> None:
    graph, x = qdq(operator, small(window), rank=2, axis=axis, **settings), pixels((4, 5))
    (expected,) = evaluator(graph).run(None, {"x": x})
    assert_near(Emulator(graph).run({"x": x})["y"], np.asarray(expected))


def test_a_matrix_product_may_have_more_axes_than_two() -> None:
    graph, x = qdq("MatMul", small((5, 3)), rank=3, axis=1), pixels((2, 4, 5))
    (expected,) = evaluator(graph).run(None, {"x": x})
    assert_near(Emulator(graph).run({"x": x})["y"], np.asarray(expected))


def test_a_convolution_pairs_neighboring_channels_row_by_row() -> None:
    w = RANDOM.integers(-128, 128, (3, 3, 2, 2)).astype(np.int8)
    x = pixels((1, 3, 4, 4)).clip(180)
    emulator = Emulator(qdq("Conv", w, rank=4))
    found = emulator.run({"x": x})["y"]
    unsigned = (x[0] + 3).astype(np.uint8)
    weights = w.transpose(2, 3, 1, 0).reshape(-1, 3)
    for row, column in np.ndindex(3, 3):
        seen = unsigned[:, row : row + 2, column : column + 2].transpose(1, 2, 0).reshape(1, -1)
        sums = np.array(vpmaddubsw(seen, weights)[0]) - 3 * weights.astype(int).sum(0)
        sums -= weight_zeros(3) * (seen.astype(int) - 3).sum()
        np.testing.assert_allclose(found[0, :, row, column], sums * np.linspace(0.5, 1, 3) + np.arange(3), rtol=1e-6)
    assert emulator.moved["layer"] > 0.01


def test_a_depthwise_convolution_does_not_saturate() -> None:
    """ONNX Runtime multiplies there in 16 bits and adds in 32."""
    emulator = Emulator(qdq("Conv", np.full((4, 1, 3, 3), 127, np.int8), rank=4, group=4))
    emulator.run({"x": pixels((1, 4, 5, 5)).clip(200)})
    assert emulator.moved == {"layer": 0.0}


FORMS: dict[str, tuple[int, list[str], dict[str, Any]]] = {
    "QLinearConv": (TensorProto.UINT8, ["x", "s", "z", "w4", "ws", "wz", "big", "yz", "b"], {"pads": [1, 1, 1, 1]}),
    "QLinearMatMul": (TensorProto.UINT8, ["x", "s", "z", "w2", "s", "zero", "big", "yz"], {}),
    "ConvInteger": (TensorProto.INT32, ["x", "w4", "z", "zero"], {}),
    "MatMulInteger": (TensorProto.INT32, ["x", "w2", "z", "zeros"], {}),
    "QGemm": (TensorProto.UINT8, ["x", "s", "z", "w2", "s", "zero", "b3", "big", "yz"], {"alpha": 0.5}),
    "MatMulIntegerToFloat": (TensorProto.FLOAT, ["x", "w2", "s", "s", "z", "zero", "bias"], {}),
    "DynamicQuantizeMatMul": (TensorProto.FLOAT, ["x", "w2", "s", "zero", "bias"], {}),
}
MICROSOFT = ("QGemm", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")


def form(operator: str, most: int) -> onnx.ModelProto:
    """A graph of one operator whose weights are at most `most`."""
    kind, names, settings = FORMS[operator]
    random = np.random.default_rng(1)
    constants: dict[str, Any] = {
        "s": np.float32(0.5),
        "z": np.uint8(7),
        "w4": random.integers(-most, most + 1, (3, 4, 3, 3)).astype(np.int8),
        "w2": random.integers(-most, most + 1, (6, 3)).astype(np.int8),
        "ws": np.array([0.5, 0.25, 1], np.float32),
        "wz": np.array([1, -2, 0], np.int8),
        "zero": np.int8(3),
        "zeros": np.array([1, -2, 0], np.int8),
        "b": np.array([10, -2000, 300], np.int32),
        "b3": np.array([10, -2000, 300], np.int32),
        "bias": np.array([1, 2, 3], np.float32),
        "big": np.float32(200),
        "yz": np.uint8(100),
    }
    domain = "com.microsoft" if operator in MICROSOFT else ""
    node = helper.make_node(operator, names, ["y"], name="layer", domain=domain, **settings)
    shape = ["n", 4, 6, 6] if "Conv" in operator else ["n", 6]
    given = TensorProto.FLOAT if operator.startswith("Dynamic") else TensorProto.UINT8
    return model([node], (given, shape), {name: constants[name] for name in {*names} - {"x"}}, kind)


def given(operator: str) -> NDArray[Any]:
    x = np.random.default_rng(2).integers(200, 256, (2, 4, 6, 6) if "Conv" in operator else (5, 6))
    x.flat[0] = 0
    return x.astype(np.float32 if operator.startswith("Dynamic") else np.uint8)


@pytest.mark.parametrize("operator", FORMS)
def test_every_form_of_a_product_is_brought_to_one_without_changing_what_it_gives(operator: str) -> None:
    graph, x = form(operator, most=60), given(operator)
    if operator in MICROSOFT:  # of which ONNX's evaluator knows nothing; weights are too small to saturate anywhere
        expected = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})
    else:
        expected = ReferenceEvaluator(graph).run(None, {"x": x})
    emulator = Emulator(graph)
    found = emulator.run({"x": x})["y"]
    assert emulator.moved == {"layer": 0.0}
    assert found.dtype == np.asarray(expected[0]).dtype
    difference = np.abs(found.astype(np.float64) - expected[0])
    assert difference.max() <= (1 if found.dtype == np.uint8 else 1e-6 * np.abs(expected[0]).max())  # a step, where it rounds


@pytest.mark.parametrize("operator", FORMS)
def test_every_form_of_a_product_saturates(operator: str) -> None:
    emulator = Emulator(form(operator, most=127))
    emulator.run({"x": given(operator)})
    assert emulator.moved["layer"] > 0


@pytest.mark.parametrize("name", models.shipped())
def test_shipped_models_give_bit_for_bit_the_same_with_saturation_and_without(name: str) -> None:
    images = golden_images(*SIDES[name], noise=1)[:6]
    saturating, exact = (Emulator(shipped(name), saturating=which) for which in (True, False))
    for output, array in exact.run({"images": images}).items():
        np.testing.assert_array_equal(saturating.run({"images": images})[output], array)
    assert saturating.moved == dict.fromkeys(LAYERS, 0.0)


@pytest.mark.parametrize("name", models.shipped())
def test_with_weights_of_8_bits_they_do_not(name: str) -> None:
    images = golden_images(*SIDES[name], noise=1)[:6]
    saturating, exact = (Emulator(widened(name), saturating=which) for which in (True, False))
    found, right = (one.run({"images": images})["logits"] for one in (saturating, exact))
    assert np.abs(found - right).max() / np.abs(right).max() > 0.05
    assert saturating.moved["conv1"] > 0.1


SIDES = {"nin-cifar10": (32, 32, 3), "nin-mnist": (28, 28, 1), "nin-digits": (8, 8, 1)}
