"""Graphs that leave height and width free."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from nin_onnx.errors import ExportError, RunError
from nin_onnx.export import Export, export_run
from nin_onnx.golden import golden_images
from nin_onnx.runtimes import EvalOptions, evaluate
from nin_onnx.train.checkpoint import load_classifier
from nin_onnx.train.preprocessing import STEPS, build


@pytest.fixture(scope="module")
def free(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return export_run(run, tmp_path_factory.mktemp("free") / "model", dynamic_size=True)


def sides(value: onnx.ValueInfoProto) -> list[int | str]:
    return [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]


def test_only_the_declared_sizes_are_others_than_those_of_the_fixed_graph(free: Export, exported: Export) -> None:
    one, other = onnx.load(free.model).graph, onnx.load(exported.model).graph
    assert one.node == other.node
    assert one.initializer == other.initializer
    assert sides(one.input[0]) == ["batch", "height", "width", 1]
    assert [sides(output) for output in one.output] == [["batch", 10], ["batch", 10], ["batch", 10, "h", "w"]]


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (17, 6), (32, 32)])
def test_it_answers_images_of_any_size_as_pytorch_does_in_float64(size: tuple[int, int], free: Export, run: Path) -> None:
    images: NDArray[np.uint8] = golden_images(*size, 1)
    classifier, _ = load_classifier(run / "model.safetensors")
    with torch.inference_mode():
        expected = classifier.double()(torch.from_numpy(images))
    session = onnxruntime.InferenceSession(free.model, providers=["CPUExecutionProvider"])
    for found, wanted in zip(session.run(None, {"images": images}), expected, strict=True):
        assert found.shape == tuple(wanted.shape)
        assert np.abs(found - wanted.numpy()).max() <= 1e-5 * np.abs(expected[2].numpy()).max()


def test_eval_passes_on_runtimes_that_like_to_know_sizes(free: Export) -> None:
    report = evaluate(free.model, EvalOptions(runtimes=["onnxruntime", "opencv", "tract", "ncnn"]))
    outcomes = {row.runtime: (row.outcome, row.reason) for row in report.rows}
    assert outcomes == dict.fromkeys(outcomes, ("pass", None))


@pytest.mark.parametrize("preprocessing", [("scale", "mean_image"), ("gcn",), ("gcn55", "zca")])
def test_preprocessing_of_whole_images_is_refused(
    preprocessing: tuple[str, ...], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", "nin-digits", preprocessing)
    with pytest.raises(RunError, match=r"was fitted to images of 8 × 8: leave --dynamic-size out$"):
        export_run(run, dynamic_size=True)
    assert not (run / "model").exists()


@pytest.mark.parametrize("name", [name for name, step in STEPS.items() if step.any_size])
def test_a_step_for_any_size_does_to_a_corner_of_an_image_what_it_does_to_the_same_corner_alone(name: str) -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, 8, 9, 3), np.uint8))
    step = build([name], (3, 5, 4))
    step.fit(images[:, :5, :4])
    with torch.inference_mode():
        assert torch.equal(step(images)[..., :5, :4], step(images[:, :5, :4]))


def test_steps_for_any_size_are_those_that_treat_every_pixel_alike() -> None:
    assert {name for name, step in STEPS.items() if step.any_size} == {"scale", "standardize"}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("architecture", ["cnn-gap", "nin-cifar10-fc"])
def test_a_network_for_one_size_is_refused(architecture: str, make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", architecture)
    with pytest.raises(ExportError, match="takes images of one size: nothing is written"):
        export_run(run, dynamic_size=True)
    assert not (run / "model").exists()
