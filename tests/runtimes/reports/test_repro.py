"""`--repro`: the failure can be seen again with NumPy and the runtime alone."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from nin_onnx.golden import Golden
from nin_onnx.runtimes import EvalOptions, evaluate
from nin_onnx.runtimes.explanations.first_difference import mark_all_outputs

Writer = Callable[..., Path]
Register = Callable[[str], str]


def test_a_failure_leaves_model_inputs_both_outputs_and_versions(
    tiny_model: Writer, tiny_golden: Golden, made_up: Register, tmp_path: Path
) -> None:
    path, name = tiny_model(), made_up("WrongInOneRow")
    evaluate(path, EvalOptions(runtimes=[name, "onnxruntime"], repro=tmp_path / "repro"))
    assert [folder.name for folder in (tmp_path / "repro").iterdir()] == [name]
    folder = tmp_path / "repro" / name
    assert (folder / "model.onnx").read_bytes() == path.read_bytes()
    np.testing.assert_array_equal(np.load(folder / "golden" / "images.npy"), tiny_golden.images)
    expected, given = (np.load(folder / "golden" / f"{which}-logits.npy") for which in ("expected", "given"))
    np.testing.assert_array_equal(expected, tiny_golden.outputs["logits"])
    assert np.flatnonzero((np.abs(given - expected) > 1e-3).any(1)).tolist() == [11]
    assert np.load(folder / "batch 7" / "images.npy").shape == (14, 8, 6, 3)
    facts = json.loads((folder / "report.json").read_text())
    assert facts["row"]["runtime"] == name
    assert facts["versions"]["onnx"] == onnx.__version__


def test_where_nothing_fails_nothing_is_written(tiny_model: Writer, tmp_path: Path) -> None:
    evaluate(tiny_model(), EvalOptions(runtimes=["onnxruntime"], repro=tmp_path / "repro"))
    assert not (tmp_path / "repro").exists()


def test_a_node_that_is_right_is_not_named(tiny_model: Writer, made_up: Register) -> None:
    """The fault is in what this runtime makes of the logits: all that is before them is right."""
    (row,) = evaluate(tiny_model(), EvalOptions(runtimes=[made_up("WrongInOneRow")])).rows
    assert row.first_difference == "logits (Flatten)"


def test_the_copy_gives_every_float_away_in_the_order_of_the_nodes(tiny_model: Writer) -> None:
    model = mark_all_outputs(onnx.load(tiny_model()))
    onnx.checker.check_model(model, full_check=True)
    outputs = [output.name for output in model.graph.output]
    assert outputs == [
        "logits",
        "probabilities",
        "class_maps",
        "scaled",
        "maps",
        "means",
    ]  # neither the uint8 `planar` nor its cast


def test_a_value_whose_type_is_not_known_is_left_out() -> None:
    nodes = [helper.make_node("Mystery", ["x"], ["y"], domain="elsewhere"), helper.make_node("Relu", ["y"], ["z"])]
    x, z = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in "xz")
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("elsewhere", 1)]
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [z]), opset_imports=opsets)
    assert [output.name for output in mark_all_outputs(model).graph.output] == ["z"]
