"""For every architecture and every preprocessing: right on every batch, valid, simple, the same bytes anywhere."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import onnxsim
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

import nin_onnx
from nin_onnx.architecture import ARCHITECTURES
from nin_onnx.export import export_run
from nin_onnx.export.passes.fp16_initializers import fp16_initializers
from nin_onnx.golden import Golden, read_golden
from nin_onnx.recipe import load, shipped
from nin_onnx.train.checkpoint import load_classifier
from nin_onnx.train.preprocessing import STEPS

if TYPE_CHECKING:
    from tests.export.conftest import Contents

pytestmark = pytest.mark.timeout(900)

CHECKOUT = Path(nin_onnx.__file__).parents[1]
TOLERANCE = 1e-5  # for float32, as eval has it

PREPROCESSINGS = [(), ("scale",), ("scale", "standardize"), ("scale", "mean_image"), ("gcn",), ("gcn", "lcn"), ("gcn55", "zca")]
"""None, and what the recipes do; each step of the stage is in one of them."""

Case = tuple[str, tuple[str, ...]]
CASES: list[Case] = [(architecture, steps) for architecture in ARCHITECTURES for steps in PREPROCESSINGS]
QUICK = [case for case in CASES if case[0] == "nin-digits" and case[1][-1:] in [("mean_image",), ("lcn",), ("zca",)]]


def name(case: Case) -> str:
    return "-".join((case[0], *case[1]))


@dataclass(frozen=True)
class Exported:
    """A model folder, and the run that it was made from."""

    run: Path
    folder: Path

    @property
    def model(self) -> onnx.ModelProto:
        return onnx.load(self.folder / "model.onnx")


@pytest.fixture(
    scope="module",
    params=[pytest.param(case, id=name(case), marks=() if case in QUICK else pytest.mark.slow) for case in CASES],
)
def exported_case(request: pytest.FixtureRequest, make_run: Callable[..., Path]) -> Iterator[Exported]:
    """Each case in its turn, and gone before the next: a whitening matrix has 38 MB."""
    with tempfile.TemporaryDirectory() as temporary:
        run = make_run(Path(temporary) / "run", *request.param)
        yield Exported(run, export_run(run).model.parent)


@st.composite
def batches(draw: st.DrawFn, shape: tuple[int, ...], most: int) -> NDArray[np.uint8]:
    """Black, white, constant and noisy images, and noise of one gray level, `most` at most, in any order."""
    level = st.sampled_from([0, 255]) | st.integers(0, 255)
    noise = st.tuples(st.integers(0, 2**32 - 1), st.sampled_from([1, 255]), st.integers(0, 254))
    image = st.one_of(
        level.map(lambda value: np.full(shape, value, np.uint8)),
        noise.map(lambda drawn: noisy(shape, *drawn)),
    )
    size = draw(st.sampled_from([1, most]) | st.integers(1, most))
    return np.stack(draw(st.lists(image, min_size=size, max_size=size)))


def noisy(shape: tuple[int, ...], seed: int, width: int, lowest: int) -> NDArray[np.uint8]:
    """Uniform noise of `width` levels above `lowest`."""
    random = np.random.default_rng(seed)
    return random.integers(lowest, min(lowest + width, 255) + 1, shape).astype(np.uint8)


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def worst(found: Iterable[NDArray[np.float32]], expected: dict[str, NDArray[np.float64]], golden: Golden) -> float:
    """The largest difference of any output, in units of that output's largest value in the golden set."""
    outputs = zip(found, expected.items(), strict=True)
    return float(max(np.abs(array - wanted).max() / golden.scale(output) for array, (output, wanted) in outputs))


def sorted_by_name(tensors: Iterable[onnx.TensorProto]) -> list[onnx.TensorProto]:
    return sorted(tensors, key=lambda tensor: tensor.name)


def test_the_cases_hold_each_step_and_each_preprocessing_of_a_recipe() -> None:
    assert {step for steps in PREPROCESSINGS for step in steps} == set(STEPS)
    assert {load(name).preprocessing for name in shipped()} <= set(PREPROCESSINGS)


def test_onnx_runtime_and_the_reference_evaluator_answer_every_batch_as_pytorch_does_in_float64(
    exported_case: Exported,
) -> None:
    classifier, _ = load_classifier(exported_case.run / "model.safetensors")
    classifier.double()
    golden = read_golden(exported_case.folder)
    assert golden is not None
    compiled = session(exported_case.folder / "model.onnx")
    evaluator = ReferenceEvaluator(exported_case.model)

    def answer(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
        with torch.inference_mode():
            return {output: tensor.numpy() for output, tensor in classifier(torch.from_numpy(images))._asdict().items()}

    @settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(images=batches(golden.images.shape[1:], 33))
    def on_onnx_runtime(images: NDArray[np.uint8]) -> None:
        assert worst(compiled.run(None, {"images": images}), answer(images), golden) <= TOLERANCE

    @settings(max_examples=2, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(images=batches(golden.images.shape[1:], 3))
    def on_the_reference(images: NDArray[np.uint8]) -> None:
        found = evaluator.run(None, {"images": images})
        assert isinstance(found, list)
        assert worst(found, answer(images), golden) <= TOLERANCE

    on_onnx_runtime()
    on_the_reference()


def test_the_checker_finds_nothing_and_simplifying_again_changes_nothing(exported_case: Exported) -> None:
    """But for a half-precision ZCA matrix, which onnxsim casts to float32: there nothing but that changes."""
    model = exported_case.model
    onnx.checker.check_model(model, full_check=True)
    again, _ = onnxsim.simplify(model, certify=False)
    if any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer):
        assert len(again.graph.node) == len(model.graph.node) - 1
        again, _ = fp16_initializers(again)
    assert again.graph.node == model.graph.node
    assert sorted_by_name(again.graph.initializer) == sorted_by_name(model.graph.initializer)
    assert (again.graph.input, again.graph.output) == (model.graph.input, model.graph.output)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [("nin-digits", ("gcn", "lcn")), ("nin-cifar10", ("gcn55", "zca")), ("cnn-fc", ("scale", "standardize"))],
    ids=name,
)
def test_two_exports_in_two_processes_and_folders_are_the_same_bytes_without_a_path_of_the_machine(
    case: Case, make_run: Callable[..., Path], tmp_path: Path, contents: "Contents"
) -> None:
    run = make_run(tmp_path / "run", *case)
    made = []
    for number, out in (("1", "out"), ("2", str(tmp_path / "far" / "away"))):
        home = tmp_path / f"home{number}"
        home.mkdir()
        environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "PYTHONHASHSEED": number, "TMPDIR": str(home), "HOME": str(home)}
        command = [sys.executable, "-m", "nin_onnx", "export", str(run), "--out", out]
        subprocess.run(command, cwd=home, env=environment, check=True, capture_output=True)
        made.append(contents(home / out))
    assert made[0] == made[1]
    here = [CHECKOUT, Path.cwd(), tmp_path, Path.home(), Path(sys.prefix), Path(sys.executable), Path(tempfile.gettempdir())]
    paths = {str(path).encode() for path in here if str(path) != path.anchor} | {b"site-packages", b"dist-packages"}
    assert [(file, path) for file, content in made[0].items() for path in paths if path in content] == []
