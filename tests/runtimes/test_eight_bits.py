"""The limits for graphs in 8 bits, on the models that ship: right arithmetic passes, a zero point that is wrong by 1 does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from nin_onnx import models
from nin_onnx.golden import Golden, read_golden
from nin_onnx.precision import PRECISIONS
from nin_onnx.runtimes.parity import Parity, compare

OPTIMIZED, AS_WRITTEN = (
    onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,  # in 8 bits
    onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,  # in float32, between QuantizeLinear and DequantizeLinear
)


@pytest.fixture(params=models.shipped())
def graph(request: pytest.FixtureRequest) -> onnx.ModelProto:
    return onnx.load(place(request.param) / "model.onnx")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    found = read_golden(place(request.node.callspec.params["graph"]))
    assert found
    return replace(found, places=PRECISIONS["int8"].places)


def place(name: str) -> Path:
    return models.FOLDER / name / "int8"


def judged(graph: onnx.ModelProto, golden: Golden, level: onnxruntime.GraphOptimizationLevel) -> Parity:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = dict(zip(golden.outputs, session.run([*golden.outputs], {"images": golden.images}), strict=True))
    return compare(outputs, golden, PRECISIONS["int8"].tolerance)


@pytest.mark.parametrize("level", [OPTIMIZED, AS_WRITTEN], ids=["in 8 bits", "in float32"])
def test_onnx_runtime_agrees_with_the_reference_evaluator(
    graph: onnx.ModelProto, golden: Golden, level: onnxruntime.GraphOptimizationLevel
) -> None:
    assert judged(graph, golden, level).problem is None


def test_a_zero_point_that_is_wrong_by_1_is_found_in_whatever_layer(graph: onnx.ModelProto, golden: Golden) -> None:
    quantizers = [node for node in graph.graph.node if node.op_type == "QuantizeLinear"]
    assert len(quantizers) >= 10
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    found = []
    for node in quantizers:
        right = node.input[2]
        graph.graph.initializer.append(numpy_helper.from_array((values[right] + np.uint8(1)).astype(np.uint8), "wrong"))
        node.input[2] = "wrong"
        found.append(judged(graph, golden, AS_WRITTEN).problem is not None)
        node.input[2] = right
        del graph.graph.initializer[-1]
    assert found == [True] * len(quantizers)
