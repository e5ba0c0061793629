"""The runtimes of the extra `[runtimes]`: each on a model whose answers are known, and what each tells about itself."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nin_onnx.data.dataset import Dataset
from nin_onnx.golden import Golden, golden_images, write_golden
from nin_onnx.machine import instructions
from nin_onnx.precision import FAST_CONVOLUTION, FP32, PRECISIONS
from nin_onnx.runtimes import EvalOptions, evaluate
from nin_onnx.runtimes.backends.base import RuntimeInfo, Unusable
from nin_onnx.runtimes.backends.registry import ON_REQUEST, runtime

PACKAGES = {
    "openvino": ("openvino",),
    "opencv": ("opencv-python-headless",),
    "tract": ("tract",),
    "ncnn": ("ncnn", "pnnx"),
    "mnn": ("mnn",),
}
BFLOAT16 = not {"AMX (bfloat16)", "AVX512-BF16"}.isdisjoint(instructions())
MODULES = {"opencv-python-headless": "cv2", "mnn": "MNN"}

Writer = Callable[..., Path]
Data = Callable[..., Dataset]


def told(name: str, model: Path) -> RuntimeInfo:
    (row,) = evaluate(model, EvalOptions(runtimes=[name], threads=1)).rows
    assert row.outcome == "pass", row.reason
    assert row.facts
    return row.facts


def test_each_gives_the_worked_out_answers_in_batches_of_any_size(tiny_model: Writer, tiny_data: Data) -> None:
    data = tiny_data(20, errors=3)
    rows = evaluate(tiny_model(), EvalOptions(runtimes=["onnxruntime", *PACKAGES], dataset=data, batch=7)).rows
    assert {row.runtime: (row.outcome, row.reason) for row in rows} == {row.runtime: ("pass", None) for row in rows}
    assert [row.accuracy.errors if row.accuracy else None for row in rows] == [3] * len(rows)
    assert [row.label_changes.changes if row.label_changes else None for row in rows[1:]] == [0] * len(PACKAGES)


@pytest.mark.parametrize(
    ("name", "precision", "threads"),
    [("openvino", "fp32", 1), ("opencv", None, 1), ("tract", "fp32", None), ("ncnn", "fp32", 1), ("mnn", None, None)],
)
def test_each_tells_what_ran_or_says_nothing(tiny_model: Writer, name: str, precision: str | None, threads: int | None) -> None:
    facts = told(name, tiny_model())
    (package, *_) = PACKAGES[name]
    installed = metadata.version(package)
    assert facts.package == package
    assert facts.version
    assert installed.startswith(facts.version)
    assert (facts.device, facts.precision, facts.threads) == ("cpu", precision, threads)


@pytest.mark.parametrize(("name", "operator"), [("openvino", "Convolution"), ("tract", "OptMatMul")])
def test_the_executed_graph_is_told_where_the_runtime_gives_it(tiny_model: Writer, name: str, operator: str) -> None:
    (nodes,) = (told(name, tiny_model()).assignment or {}).values()
    assert nodes[operator] == 1


def test_a_declared_fast_convolution_is_judged_by_its_own_tolerance(tiny_model: Writer) -> None:
    rows = evaluate(tiny_model(), EvalOptions(runtimes=["mnn", "ncnn"])).rows
    assert [row.parity.tolerance if row.parity else None for row in rows] == [FAST_CONVOLUTION, FP32.tolerance]


@pytest.mark.parametrize("name", PACKAGES)
def test_without_its_package_the_extra_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for package in PACKAGES[name]:
        module = MODULES.get(package, package)
        monkeypatch.setattr("nin_onnx.runtimes.backends.base.find_spec", lambda name, gone=module: None if name == gone else name)
        with pytest.raises(Unusable, match=f"the package '{package}' is not installed") as caught:
            runtime(name).check()
        assert caught.value.install == "pip install 'nin-onnx[runtimes]'"


@pytest.mark.skipif(not BFLOAT16, reason="no bfloat16 in this processor")
def test_openvino_asked_for_bfloat16_tells_it_and_is_judged_by_it(tiny_model: Writer) -> None:
    assert "openvino-bf16" in ON_REQUEST
    (row,) = evaluate(tiny_model(), EvalOptions(runtimes=["openvino-bf16"])).rows
    assert row.facts
    assert row.parity
    assert (row.outcome, row.facts.precision, row.parity.tolerance) == ("pass", "bf16", PRECISIONS["bf16"].tolerance)
    assert row.parity.worst
    assert row.parity.worst > FP32.tolerance


def test_arithmetic_in_bfloat16_is_judged_by_it_on_whatever_processor(tiny_model: Writer, made_up: Callable[[str], str]) -> None:
    (row,) = evaluate(tiny_model(), EvalOptions(runtimes=[made_up("EmulatesBf16")])).rows
    assert row.facts
    assert row.parity
    assert (row.outcome, row.facts.precision, row.parity.tolerance) == ("pass", "bf16", PRECISIONS["bf16"].tolerance)
    assert row.parity.worst
    assert row.parity.worst > FP32.tolerance


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("CompilesToF32", "asked for bf16, OpenVINO computes in f32"),
        ("CompilesToBf16", "asked for f32, OpenVINO computes in bf16"),
        ("CompilesInPartToBf16", "asked for f32, OpenVINO computes in bf16 and f32"),
    ],
)
def test_openvino_in_another_precision_than_it_was_asked_for_is_skipped(
    tiny_model: Writer, made_up: Callable[[str], str], kind: str, reason: str
) -> None:
    (row,) = evaluate(tiny_model(), EvalOptions(runtimes=[made_up(kind)])).rows
    assert (row.outcome, row.reason) == ("skipped", reason)


def test_openvino_is_imported_without_its_telemetry(tiny_model: Writer, tmp_path: Path) -> None:
    """It keeps what it knows of its user in a folder in their home."""
    home = tmp_path / "home"
    home.mkdir()
    code = "import sys; from nin_onnx.cli import main; sys.argv = ['nin-onnx', 'eval', *sys.argv[1:]]; main()"
    command = [sys.executable, "-c", code, str(tiny_model()), "--runtime", "openvino"]
    subprocess.run(command, env=os.environ | {"HOME": str(home)}, check=True, capture_output=True, cwd=Path(__file__).parents[2])
    assert list(home.rglob("*")) == []


def test_ncnn_says_why_it_cannot_have_a_graph_that_begins_in_another_way(tiny_model: Writer) -> None:
    path = tiny_model()
    model = onnx.load(path)
    model.graph.node[0].output[0] = "moved"
    model.graph.node.insert(1, helper.make_node("Identity", ["moved"], ["planar"]))
    onnx.save(model, path)
    (row,) = evaluate(path, EvalOptions(runtimes=["ncnn"])).rows
    assert row.outcome == "skipped"
    assert row.reason
    assert row.reason.startswith("ncnn takes no uint8, and the graph has no variant with float32 input (the graph should begin")


def pooling_fault(folder: Path) -> Path:
    """A model with the average pooling that several runtimes get wrong: what lies beyond the edge is counted with the padding.

    Windows of 3 by 3 at stride 2 on 8 by 8 pixels, so
    that the last window of each row has two columns only.
    """
    nodes = [
        helper.make_node("Transpose", ["images"], ["planar"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planar"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["pixels", "kernel"], ["conv"], name="conv"),
        helper.make_node(
            "AveragePool", ["conv"], ["pool"], name="pool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, count_include_pad=1
        ),
        helper.make_node("Relu", ["pool"], ["relu"], name="relu"),
        helper.make_node("GlobalAveragePool", ["relu"], ["means"], name="means"),
        helper.make_node("Flatten", ["means"], ["logits"], name="flatten"),
    ]
    kernel = numpy_helper.from_array(np.random.default_rng(0).normal(0, 1, (4, 3, 1, 1)).astype(np.float32), "kernel")
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", 8, 8, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph(nodes, "pooling", [images], [logits], [kernel])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    pixels = golden_images(8, 8, 3)
    write_golden(folder, Golden(pixels, {"logits": pooled(pixels, numpy_helper.to_array(kernel))}))
    return folder / "model.onnx"


def pooled(images: NDArray[np.uint8], kernel: NDArray[Any]) -> NDArray[np.float32]:
    """What the model gives, in NumPy's float64: a window counts the pixels that it has, whatever would lie beyond the edge."""
    maps = np.einsum("nhwc,kc->nkhw", images.astype(np.float64), kernel[:, :, 0, 0].astype(np.float64))
    windows = [[maps[..., y : y + 3, x : x + 3].mean((2, 3)) for x in range(0, 8, 2)] for y in range(0, 8, 2)]
    means: NDArray[np.float64] = np.maximum(np.array(windows), 0).mean((0, 1))
    return means.astype(np.float32)


def test_the_known_fault_of_average_pooling_is_found_where_a_runtime_has_it(tmp_path: Path) -> None:
    report = evaluate(pooling_fault(tmp_path / "m"), EvalOptions(runtimes=["onnxruntime", "reference", "opencv", "ncnn"]))
    assert {row.runtime: row.outcome for row in report.rows} == {
        "onnxruntime": "pass",
        "reference": "pass",
        "opencv": "fail",
        "ncnn": "fail",
    }
    assert [row.first_difference for row in report.rows] == [None, None, "pool (AveragePool)", "pool (AveragePool)"]
    assert "; first at the node pool (AveragePool), by " in (report.rows[2].reason or "")
