"""Models without golden vectors, ours and others': judged by two references that agree, or not at all."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nin_onnx.errors import ModelError
from nin_onnx.runtimes import RUNTIMES, EvalOptions, evaluate
from nin_onnx.runtimes.read_model import read_model
from nin_onnx.runtimes.references import agreement, inputs, stored

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
"""What the onnx package carries for its backend tests: opset 9, a fixed batch, the weights among the inputs."""

Writer = Callable[..., Path]
Register = Callable[[str], str]


def by_hand(folder: Path, batch: str | int = "N") -> Path:
    """A classifier of four features that no exporter wrote: opset 13, its only output `scores`."""
    weights = np.random.default_rng(0).normal(0, 1, (4, 3)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["sums"]),
        helper.make_node("Softmax", ["sums"], ["scores"], axis=1),
    ]
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, 4])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 3])
    graph = helper.make_graph(nodes, "by-hand", [features], [scores], [numpy_helper.from_array(weights, "weights")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7, producer_name="by-hand")
    onnx.save(model, folder / "by-hand.onnx")
    return folder / "by-hand.onnx"


@pytest.mark.parametrize("batch", ["N", 1, 3, 8])
def test_a_model_of_another_exporter_with_any_batch_passes(tmp_path: Path, batch: str | int) -> None:
    report = evaluate(
        by_hand(tmp_path, batch), EvalOptions(runtimes=["onnxruntime", "openvino", "tract", "opencv", "mnn", "reference"])
    )
    assert report.golden
    assert report.golden["references"] == ("onnxruntime", "reference")
    assert [(row.outcome, row.reason) for row in report.rows] == [("pass", None)] * 6


def test_the_inputs_are_always_the_same_and_hold_noise_black_white_and_saturated(tmp_path: Path) -> None:
    model = read_model(by_hand(tmp_path))
    first, again = inputs(model), inputs(model)
    np.testing.assert_array_equal(first, again, strict=True)
    assert (first.dtype, first.shape) == (np.dtype(np.float32), (4, 4))
    assert (first[1] == 0).all()
    assert (first[2] == 1).all()
    assert set(np.abs(first[3])) == {2.5}


def test_a_fixed_batch_is_filled(tmp_path: Path) -> None:
    assert len(inputs(read_model(by_hand(tmp_path, 8)))) == 8


def test_the_first_two_that_agree_are_believed_and_the_third_is_judged(tmp_path: Path) -> None:
    images, right = np.zeros((2, 1), np.float32), np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    golden, pair, problem = agreement(images, {"a": {"y": right + 1}, "b": {"y": right}, "c": {"y": right}})
    assert (pair, problem) == (("b", "c"), None)
    np.testing.assert_array_equal(golden.outputs["y"], right)


def test_two_that_agree_are_not_believed_against_the_indispensable_one() -> None:
    images, right = np.zeros((2, 1), np.float32), np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    answers = {"a": {"y": right + 1}, "exact": {"y": right}, "b": {"y": right + 1}}
    _, pair, problem = agreement(images, answers, indispensable="exact")
    assert "exact" in pair
    assert (problem or "").startswith("no two references agree; they differ: a and exact by ")
    golden, pair, problem = agreement(images, answers | {"c": {"y": right}}, indispensable="exact")
    assert (pair, problem) == (("exact", "c"), None)
    np.testing.assert_array_equal(golden.outputs["y"], right)
    del answers["exact"]
    assert agreement(images, answers, indispensable="exact")[1:] == (("a", "b"), None)  # it gave no answer


def test_references_that_disagree_let_nothing_pass(
    tiny_model: Writer, made_up: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = made_up("WrongInOneRow")
    monkeypatch.setattr("nin_onnx.runtimes.references.REFERENCES", ("onnxruntime", wrong))
    report = evaluate(tiny_model(golden=False), EvalOptions(runtimes=["onnxruntime"]))
    assert report.exit_status == 1
    assert report.rows[0].reason
    assert report.rows[0].reason.startswith("no two references agree; they differ: onnxruntime and WrongInOneRow by ")


def test_with_one_reference_alone_there_is_nothing_to_judge_by(
    tiny_model: Writer, made_up: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "nin_onnx.runtimes.references.REFERENCES", ("onnxruntime", made_up("HoldsNoPackage"), made_up("Segfaults"))
    )
    with pytest.raises(ModelError, match=r"needs two of .*, but only onnxruntime ran; nin-onnx doctor shows"):
        evaluate(tiny_model(golden=False), EvalOptions(runtimes=["onnxruntime"]))


def test_a_model_for_images_of_any_size_needs_a_data_set_to_know_one(tiny_model: Writer) -> None:
    path = tiny_model(golden=False)
    model = onnx.load(path)
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", "height", "width", 3]))
    onnx.save(model, path)
    with pytest.raises(ModelError, match="takes images of any size, and no golden vectors lie beside it: give --dataset"):
        evaluate(path, EvalOptions(runtimes=["onnxruntime"]))


def zoo(folder: Path, images: NDArray[Any], outputs: Sequence[NDArray[Any]]) -> None:
    """The layout of the ONNX model zoo, whose tensors may have no names."""
    target = folder / "test_data_set_0"
    target.mkdir()
    for name, array in {"input_0": images, **{f"output_{i}": array for i, array in enumerate(outputs)}}.items():
        (target / f"{name}.pb").write_bytes(numpy_helper.from_array(array).SerializeToString())


def scores(features: NDArray[Any]) -> NDArray[Any]:
    """What `by_hand` computes, in NumPy's float64."""
    weights = np.random.default_rng(0).normal(0, 1, (4, 3)).astype(np.float32)
    powers = np.exp(features.astype(np.float64) @ weights)
    shares: NDArray[np.float32] = (powers / powers.sum(1, keepdims=True)).astype(np.float32)
    return shares


@pytest.mark.parametrize(("batch", "rows"), [("N", 1), (3, 6)])
def test_vectors_beside_a_foreign_model_are_its_golden_ones(tmp_path: Path, batch: str | int, rows: int) -> None:
    features = np.random.default_rng(1).normal(0, 1, (rows, 4)).astype(np.float32)
    zoo(tmp_path, features, [scores(features)])
    report = evaluate(by_hand(tmp_path, batch), EvalOptions(runtimes=["onnxruntime", "reference"]))
    assert (report.golden["images"], report.golden["references"]) == (rows, None)
    assert [(row.outcome, row.reason) for row in report.rows] == [("pass", None)] * 2


def test_vectors_beside_a_foreign_model_that_are_not_its_own_let_it_fail(tmp_path: Path) -> None:
    features = np.random.default_rng(1).normal(0, 1, (2, 4)).astype(np.float32)
    zoo(tmp_path, features, [scores(features[::-1])])
    (row,) = evaluate(by_hand(tmp_path), EvalOptions(runtimes=["onnxruntime"])).rows
    assert row.outcome == "fail"
    assert row.reason
    assert row.reason.startswith("'scores' differs from the golden vectors by ")


@pytest.mark.parametrize(
    ("images", "outputs"),
    [
        (np.zeros((2, 5), np.float32), [(2, 3)]),
        (np.zeros((2, 4, 1), np.float32), [(2, 3)]),
        (np.zeros((2, 4), np.float64), [(2, 3)]),
        (np.zeros((0, 4), np.float32), [(0, 3)]),
        (np.zeros((2, 4), np.float32), [(2, 4)]),
        (np.zeros((2, 4), np.float32), [(1, 3)]),
        (np.zeros((2, 4), np.float32), []),
    ],
    ids=["wide input", "long input", "other type", "no rows", "wide output", "few outputs", "no output"],
)
def test_vectors_that_are_not_of_the_model_s_shapes_are_left_aside(
    tmp_path: Path, images: NDArray[Any], outputs: list[tuple[int, ...]]
) -> None:
    zoo(tmp_path, images, [np.ones(shape, np.float32) for shape in outputs])
    assert stored(read_model(by_hand(tmp_path))) is None


def test_a_broken_file_of_vectors_beside_a_foreign_model_is_named(tmp_path: Path) -> None:
    zoo(tmp_path, np.zeros((2, 4), np.float32), [])
    (tmp_path / "test_data_set_0" / "output_0.pb").write_bytes(b"no tensor")
    with pytest.raises(ModelError, match=r"output_0\.pb' holds no tensor"):
        stored(read_model(by_hand(tmp_path)))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("resnet50", set()),
        ("shufflenet", set()),
        # The Softmax of opset 9 takes channels, height and width as one row; these take the last axis, or the channels alone.
        ("squeezenet", {"openvino", "mnn", "reference"}),
        # Weights that are all the same make sums of large numbers that cancel: the evaluator adds them in another order.
        ("densenet121", {"reference"}),
    ],
)
def test_what_the_onnx_package_carries_goes_through_without_a_card(name: str, wrong: set[str]) -> None:
    names = [name for name in RUNTIMES if name in ("onnxruntime", "openvino", "opencv", "tract", "mnn", "reference")]
    report = evaluate(LIGHT / f"light_{name}.onnx", EvalOptions(runtimes=names))
    assert report.golden
    assert report.golden["problem"] is None
    assert {row.runtime for row in report.rows if row.outcome != "pass"} == wrong
    assert {row.outcome for row in report.rows} <= {"pass", "fail"}
