"""The int8 variant: what is quantized and how, that ONNX Runtime fuses all of it, and what it answers."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from nin_onnx.evaluator import evaluator
from nin_onnx.export.int8 import METHODS, Reader, quantize

STEPS = ("scale", "standardize")
CONVOLUTIONS = ("conv1", "cccp1", "cccp2", "conv2", "cccp3", "cccp4", "conv3", "cccp5")


def noise(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 200, (count, 8, 8, 1), np.uint8)


@pytest.fixture(scope="module")
def quantized(exported_model: onnx.ModelProto) -> onnx.ModelProto:
    return quantize(exported_model, STEPS, noise(64), "minmax")


def test_weights_are_signed_symmetric_and_have_a_scale_for_each_channel(
    quantized: onnx.ModelProto, exported_model: onnx.ModelProto
) -> None:
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantized.graph.initializer}
    sources = {tensor.name: numpy_helper.to_array(tensor) for tensor in exported_model.graph.initializer}
    for name in CONVOLUTIONS:
        weight, scale = tensors[f"{name}.weight_quantized"], tensors[f"{name}.weight_scale"]
        assert (weight.dtype, scale.shape, weight.shape) == (np.dtype(np.int8), weight.shape[:1], sources[f"{name}.weight"].shape)
        assert not tensors[f"{name}.weight_zero_point"].any()
        assert np.abs(weight).max() == 64  # 7 bits, so that sums of two products stay within 16
        wide = scale[:, None, None, None]
        assert np.abs(weight * wide - sources[f"{name}.weight"]).max() <= scale.max() * 0.501


def test_activations_are_unsigned_and_begin_at_zero_where_a_relu_was(quantized: onnx.ModelProto) -> None:
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantized.graph.initializer}
    points = {node.input[0]: tensors[node.input[2]] for node in quantized.graph.node if node.op_type == "QuantizeLinear"}
    assert {point.dtype for point in points.values()} == {np.dtype(np.uint8)}
    assert {name for name, point in points.items() if point} == {"standardize_2"}
    assert not any(node.op_type == "Relu" for node in quantized.graph.node)


def test_the_preprocessing_and_the_last_layer_stay_in_float32(quantized: onnx.ModelProto) -> None:
    nodes = {node.name: node for node in quantized.graph.node}
    kinds = {tensor.name: tensor.data_type for tensor in quantized.graph.initializer}
    assert [kinds[name] for name in nodes["cccp6"].input[1:]] == [TensorProto.FLOAT] * 2
    assert {kind for name, kind in kinds.items() if name.startswith(STEPS) and "quantized" not in name} <= {
        TensorProto.FLOAT,
        TensorProto.UINT8,
    }
    assert list(nodes["standardize"].output) == ["standardize"]


def test_the_operators_are_the_standards_own(quantized: onnx.ModelProto) -> None:
    assert [(entry.domain, entry.version) for entry in quantized.opset_import] == [("", 18)]
    assert {node.domain for node in quantized.graph.node} == {""}
    onnx.checker.check_model(quantized, full_check=True)


def test_onnx_runtime_fuses_all_but_the_first_and_the_last_conversion(quantized: onnx.ModelProto, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3  # it warns that the file is for this machine alone
    onnxruntime.InferenceSession(quantized.SerializeToString(), options, providers=["CPUExecutionProvider"])
    counts = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert counts["QLinearConv"] == len(CONVOLUTIONS)
    assert (counts["QuantizeLinear"], counts["DequantizeLinear"]) == (1, 1)
    assert counts["MaxPool"] + counts["NhwcMaxPool"] == 2  # on 8 bits: nothing is converted beside them


@pytest.mark.parametrize("method", METHODS)
def test_every_method_answers_nearly_as_the_source_on_onnx_runtime_and_the_evaluator_alike(
    method: str, exported_model: onnx.ModelProto
) -> None:
    model = quantize(exported_model, STEPS, noise(32), method)
    images = noise(40, seed=1)
    (expected,) = evaluator(exported_model).run(["logits"], {"images": images})
    (found,) = evaluator(model).run(["logits"], {"images": images})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (other,) = session.run(["logits"], {"images": images})
    largest = np.abs(expected).max()
    assert 1e-5 < np.abs(np.asarray(found) - expected).max() / largest < 0.05
    assert np.abs(found - other).max() / largest < 1e-2


def test_quantizing_twice_gives_the_same_bytes_and_leaves_the_given_model(
    quantized: onnx.ModelProto, exported_model: onnx.ModelProto
) -> None:
    before = exported_model.SerializeToString(deterministic=True)
    again = quantize(exported_model, STEPS, noise(64), "minmax")
    assert again.SerializeToString(deterministic=True) == quantized.SerializeToString(deterministic=True)
    assert exported_model.SerializeToString(deterministic=True) == before


def test_the_reader_gives_each_image_of_a_range_once() -> None:
    images = noise(10)
    reader = Reader(images, 4)
    seen = []
    for start, end in ((0, 5), (5, 10)):
        reader.set_range(start, end)
        while (batch := reader.get_next()) is not None:
            seen.append(batch["images"])
    assert [len(batch) for batch in seen] == [4, 1, 4, 1]
    np.testing.assert_array_equal(np.concatenate(seen), images)
    assert len(reader) == 10
