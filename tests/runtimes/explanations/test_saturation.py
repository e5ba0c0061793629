"""What is told of a graph in 8 bits: that it could saturate and that it does are two findings, by every command that judges."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper, numpy_helper
from quantized_graphs import LAYERS, qdq, widened

from nin_onnx import models
from nin_onnx.cli import cli
from nin_onnx.eight_bits import Bound
from nin_onnx.eight_bits.findings import SaturatedLayer, Saturation
from nin_onnx.golden import Golden, read_golden, write_golden
from nin_onnx.runtimes import RUNTIMES, EvalOptions, evaluate, table
from nin_onnx.runtimes.backends.base import RuntimeInfo
from nin_onnx.runtimes.backends.onnxruntime_node import OnnxRuntimeWeb
from nin_onnx.runtimes.explanations.saturation import explained, saturation_alone
from nin_onnx.runtimes.parity import Parity
from nin_onnx.runtimes.read_model import read_model
from nin_onnx.runtimes.reports.junit import junit
from nin_onnx.runtimes.reports.markdown import markdown
from nin_onnx.runtimes.rows import Row
from nin_onnx.runtimes.workers.worker import facts as facts_of

WIDE = Bound("conv2", "Conv", -64_770, 100)


def write(folder: Path, graph: onnx.ModelProto, golden: Golden | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(graph, folder / "model.onnx")
    if golden:
        write_golden(folder, golden)
    return folder / "model.onnx"


def small(value: int, *, x: float = 255) -> onnx.ModelProto:
    """A foreign graph of one convolution, whose weights are all `value`, of pixels that are `x` times what is given."""
    graph = qdq("Conv", np.full((2, 2, 1, 1), value, np.int8), rank=4)
    graph.graph.node.insert(0, helper.make_node("Mul", ["images", "factor"], ["x"]))
    graph.graph.initializer.append(numpy_helper.from_array(np.array(x, np.float32), "factor"))
    del graph.graph.input[:], graph.graph.output[:]
    graph.graph.input.append(helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["n", 2, 4, 4]))
    graph.graph.output.append(helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 2, 4, 4]))
    return graph


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Saturation(2, ()), ("cannot saturate: sums of two products stay within 16 bits in 2 layers, whatever the inputs",)),
        (
            Saturation(2, (WIDE,), (), 12),
            (
                "could saturate on x86 without VNNI: 1 of 2 layers; the furthest is 'conv2' (Conv), "
                "with a pair sum of -64,770 (16 bits hold -32,768 to 32,767)",
                "does not saturate on the 12 golden images, in an emulation of x86 without VNNI",
            ),
        ),
        (
            Saturation(1, (WIDE,), (SaturatedLayer("conv1", 0.01), SaturatedLayer("conv2", 0.2)), 1),
            (
                "could saturate on x86 without VNNI: 1 of 1 layer; the furthest is 'conv2' (Conv), "
                "with a pair sum of -64,770 (16 bits hold -32,768 to 32,767)",
                "saturates on the golden image at layer 'conv2', by 2.0e-01 of its largest output, and at 1 more (emulated)",
            ),
        ),
        (
            Saturation(2, (WIDE, WIDE), (SaturatedLayer("conv1", 0.2),), 12, not_emulated=("conv2",), not_judged=1),
            (
                "could saturate on x86 without VNNI: 2 of 2 layers; the furthest is 'conv2' (Conv), with a pair sum of -64,770 "
                "(16 bits hold -32,768 to 32,767); 1 node in subgraphs or functions not judged",
                "saturates on the 12 golden images at layer 'conv1', by 2.0e-01 of its largest output (emulated); "
                "not emulated: 'conv2'",
            ),
        ),
        (
            Saturation(1, (WIDE,), (), 12, not_emulated=("conv2",)),
            (..., "saturation was not tested on inputs; not emulated: 'conv2'"),
        ),
        (Saturation(1, (WIDE,), problem="out of time"), (..., "saturation was not tested on inputs: out of time")),
    ],
)
def test_the_findings_are_told_apart(found: Saturation, words: tuple[Any, ...]) -> None:
    assert len(found.lines()) == len(words)
    assert all(said in (line, ...) for said, line in zip(words, found.lines(), strict=True))


@pytest.mark.parametrize("name", models.shipped())
def test_of_a_shipped_model_it_is_known_without_trying(name: str) -> None:
    assert saturation_alone(read_model(models.FOLDER / name / "int8" / "model.onnx")) == Saturation(len(LAYERS), ())


def test_of_a_graph_in_float32_there_is_nothing_to_tell() -> None:
    assert saturation_alone(read_model(models.FOLDER / "nin-digits" / "model.onnx")) is None


def test_weights_of_8_bits_saturate_on_the_golden_images_and_the_layers_are_named(tmp_path: Path) -> None:
    golden = read_golden(models.FOLDER / "nin-digits" / "int8")
    found = saturation_alone(read_model(write(tmp_path, widened("nin-digits"), golden)))
    assert found
    assert [one.layer for one in found.could_saturate] == list(LAYERS)
    assert found.images == 12
    assert {one.layer for one in found.saturates} >= {"conv1"}
    assert all(one.by > 0 for one in found.saturates)


def test_a_graph_that_could_saturate_need_not_do_so_on_the_inputs_at_hand(tmp_path: Path) -> None:
    for x, moved in ((255, True), (1, False)):
        found = saturation_alone(read_model(write(tmp_path, small(127, x=x))))
        assert found
        assert [one.layer for one in found.could_saturate] == ["layer"]
        assert (bool(found.saturates), found.problem) == (moved, None)


def test_images_of_any_size_without_vectors_are_the_reason_why_nothing_was_tried(tmp_path: Path) -> None:
    graph = small(127)
    for side in graph.graph.input[0].type.tensor_type.shape.dim[2:]:
        side.dim_param = "any"
    found = saturation_alone(read_model(write(tmp_path, graph)))
    assert found
    assert "takes images of any size" in (found.emulation or "")


def test_eval_says_both_in_every_format_and_the_row_of_the_emulated_processor_fails(tmp_path: Path) -> None:
    golden = read_golden(models.FOLDER / "nin-digits" / "int8")
    graph = widened("nin-digits")
    report = evaluate(write(tmp_path, graph, golden), EvalOptions(runtimes=["reference", "emulated-avx2"]))
    outcomes = {row.runtime: row.outcome for row in report.rows}
    assert outcomes["emulated-avx2"] == "fail"
    assert report.saturation
    for text in (table(report), markdown(report), junit(report)):
        text = " ".join(text.split())
        assert "could saturate on x86 without VNNI: 8 of 8 layers" in text
        assert "saturates on the 12 golden images at layer" in text
    found = json.loads(json.dumps(report.to_dict()))["saturation"]
    assert [one["layer"] for one in found["could_saturate"]] == list(LAYERS)
    assert {one["layer"]: one["by"] for one in found["saturates"]}["conv1"] > 0.1
    assert str(report.hardware["processor"]) in junit(report)


def test_the_emulated_processor_passes_a_shipped_model_and_has_nothing_to_do_in_float32() -> None:
    (row,) = evaluate(models.find("nin-digits/int8"), EvalOptions(runtimes=["emulated-avx2"])).rows
    assert (row.outcome, row.facts and row.facts.device) == ("pass", "AVX2, emulated")
    (row,) = evaluate(models.find("nin-digits"), EvalOptions(runtimes=["emulated-avx2"])).rows
    assert (row.outcome, row.reason) == ("skipped", "the graph multiplies no 8-bit numbers, so there is nothing to emulate")


@pytest.mark.parametrize(
    ("instructions", "told"),
    [
        (("AVX2",), True),
        (("AVX2", "AVX-512"), True),
        (("AVX2", "AVX-VNNI"), False),
        (("NEON",), False),
        ((), False),
        (None, False),
    ],
)
def test_a_runtime_that_fails_is_told_why_only_where_products_saturate(instructions: tuple[str, ...] | None, told: bool) -> None:
    facts = RuntimeInfo(instructions=instructions, precision="int8")
    parity = Parity(8e-3, {}, "wrong")
    row = Row("onnxruntime", named=False, outcome="fail", reason="wrong", facts=facts, parity=parity)
    known = Saturation(1, (WIDE,), (SaturatedLayer("conv2", 0.2),), 12)
    reason = "wrong; likely saturation: this processor has no VNNI, and the model saturates on the 12 golden images at"
    assert (explained(row, known).reason or "").startswith(reason) is told
    assert explained(replace(row, outcome="pass"), known).reason == "wrong"
    assert explained(row, Saturation(1, (WIDE,))) == row
    assert explained(row, None) == row
    for other in (
        replace(row, facts=replace(facts, precision="fp32")),
        replace(row, runtime="reference"),
        replace(row, parity=replace(parity, problem=None)),  # what is wrong is its labels
    ):
        assert explained(other, known) == other


def test_show_and_doctor_say_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nin_onnx.runtimes.diagnosis.RUNTIMES", {"reference": RUNTIMES["reference"]})
    path = write(tmp_path, small(127))
    for command in ("show", "doctor"):
        said = " ".join(
            CliRunner().invoke(cli, [command, str(path)], standalone_mode=False, catch_exceptions=False).output.split()
        )
        assert (
            "8 bits could saturate on x86 without VNNI: 1 of 1 layer; the furthest is 'layer' (Conv), with a pair sum of 64,770"
            in said
        )
        assert "saturates on the 4 golden images at layer 'layer', by" in said
        values = json.loads(CliRunner().invoke(cli, [command, str(path), "--json"], standalone_mode=False).output)
        assert values["saturation"]["could_saturate"] == [{"layer": "layer", "operator": "Conv", "lowest": 0, "highest": 64_770}]
        assert values["saturation"]["saturates"][0]["by"] > 0.1


def test_a_row_tells_the_instruction_sets_of_its_process(tiny_model: Callable[..., Path]) -> None:
    report = evaluate(tiny_model(), EvalOptions(runtimes=["onnxruntime"]))
    (row,) = report.rows
    assert row.facts
    assert row.facts.instructions == tuple(report.hardware["instructions"])
    other = replace(report, rows=(replace(row, facts=replace(row.facts, instructions=("SSE",))),))
    assert "onnxruntime had SSE" in " ".join(table(other).split())
    assert "onnxruntime had SSE" in markdown(other)
    assert 'name="processor" value="onnxruntime had SSE"' in junit(other)
    assert json.loads(json.dumps(other.to_dict()))["rows"][0]["facts"]["instructions"] == ["SSE"]


def test_a_runtime_keeps_instruction_sets_of_its_own() -> None:
    class Web(OnnxRuntimeWeb):
        def facts(self) -> RuntimeInfo:
            return RuntimeInfo(device="cpu", instructions=self.instructions)

    assert facts_of(Web()).instructions == ("WebAssembly SIMD",)
