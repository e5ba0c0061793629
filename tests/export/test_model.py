"""The exported file, as whoever embeds it meets it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import onnxsim
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from nin_onnx.export import Export, export_run
from nin_onnx.train.checkpoint import load_classifier

Result = dict[str, NDArray[np.float64]]

LAYERS = [
    *("conv1", "conv1_relu", "cccp1", "cccp1_relu", "cccp2", "cccp2_relu", "pool1"),
    *("conv2", "conv2_relu", "cccp3", "cccp3_relu", "cccp4", "cccp4_relu", "pool2"),
    *("conv3", "conv3_relu", "cccp5", "cccp5_relu", "cccp6", "pool3", "flatten", "softmax"),
]
CONVOLUTIONS = [name for name in LAYERS if name.startswith(("conv", "cccp")) and not name.endswith("relu")]


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def assert_close(found: list[NDArray[np.float32]], expected: Result) -> None:
    """Within 1e-5 of the largest logit."""
    largest = np.abs(expected["logits"]).max()
    for array, (name, wanted) in zip(found, expected.items(), strict=True):
        assert (array.dtype, array.shape) == (np.dtype(np.float32), wanted.shape)
        assert np.abs(array - wanted).max() <= 1e-5 * largest, name


def signature(value: onnx.ValueInfoProto) -> tuple[str, int, list[int | str]]:
    sides = value.type.tensor_type.shape.dim
    return value.name, value.type.tensor_type.elem_type, [side.dim_param or side.dim_value for side in sides]


@st.composite
def batches(draw: st.DrawFn, height: int = 8, width: int = 8, channels: int = 1, most: int = 9) -> NDArray[np.uint8]:
    """Black, white, gray, noisy and arbitrary images, in any order."""
    shape = (height, width, channels)
    constant = st.sampled_from([0, 255]) | st.integers(0, 255)
    image = st.one_of(
        constant.map(lambda level: np.full(shape, level, np.uint8)),
        st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(0, 256, shape, np.uint8)),
        hnp.arrays(np.uint8, shape),
    )
    return np.stack(draw(st.lists(image, min_size=1, max_size=most)))


def test_the_file_is_valid_onnx_of_opset_18_and_ir_8(exported: Export) -> None:
    onnx.checker.check_model(exported.model, full_check=True)
    model = onnx.load(exported.model)
    assert model.ir_version == 8
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert (model.producer_name, model.producer_version) == ("nin-onnx", exported.card.exported_with["nin-onnx"])


def test_pixels_go_in_and_logits_probabilities_and_class_maps_come_out(model: onnx.ModelProto) -> None:
    assert [signature(value) for value in model.graph.input] == [("images", TensorProto.UINT8, ["batch", 8, 8, 1])]
    assert [signature(value) for value in model.graph.output] == [
        ("logits", TensorProto.FLOAT, ["batch", 10]),
        ("probabilities", TensorProto.FLOAT, ["batch", 10]),
        ("class_maps", TensorProto.FLOAT, ["batch", 10, 2, 2]),
    ]


def test_only_standard_operators_do_the_work(model: onnx.ModelProto) -> None:
    assert {node.domain for node in model.graph.node} == {""}
    assert {node.op_type for node in model.graph.node} == {
        *("Transpose", "Cast", "Div", "Sub"),
        *("Conv", "Relu", "MaxPool", "GlobalAveragePool", "Flatten", "Softmax"),
    }
    assert len(model.functions) == 0


def test_all_weights_are_inside_the_file(model: onnx.ModelProto) -> None:
    assert {tensor.data_location for tensor in model.graph.initializer} == {TensorProto.DEFAULT}
    assert all(len(tensor.external_data) == 0 for tensor in model.graph.initializer)


def test_nodes_values_and_weights_have_the_paper_s_names(model: onnx.ModelProto) -> None:
    names = ["transpose", "cast", "scale", "standardize", "standardize_2", *LAYERS]
    assert [node.name for node in model.graph.node] == names
    outputs = {"cccp6": "class_maps", "flatten": "logits", "softmax": "probabilities"}
    assert [list(node.output) for node in model.graph.node] == [[outputs.get(name, name)] for name in names]
    weights = {f"{name}.{kind}" for name in CONVOLUTIONS for kind in ("weight", "bias")}
    assert {tensor.name for tensor in model.graph.initializer} == weights | {
        "scale.highest",
        "standardize.mean",
        "standardize.std",
    }


def test_every_value_has_a_shape_with_the_batch_left_free(model: onnx.ModelProto) -> None:
    known = {value.name: signature(value)[2] for value in (*model.graph.value_info, *model.graph.output)}
    assert set(known) == {output for node in model.graph.node for output in node.output}
    assert {shape[0] for shape in known.values()} == {"batch"}
    assert known["pool1"] == ["batch", 32, 4, 4]  # of 8: floor mode would give 3


def test_simplifying_again_changes_nothing(model: onnx.ModelProto) -> None:
    again, _ = onnxsim.simplify(model, certify=False)
    assert again.graph == model.graph


@settings(max_examples=25)
@given(images=batches())
def test_onnx_runtime_and_the_reference_evaluator_answer_as_the_network_in_float64(
    images: NDArray[np.uint8],
    exported: Export,
    calculate: Callable[[NDArray[np.uint8]], Result],
) -> None:
    expected = calculate(images)
    assert_close(session(exported.model).run(None, {"images": images}), expected)
    found = ReferenceEvaluator(str(exported.model)).run(None, {"images": images})
    assert isinstance(found, list)
    assert_close(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "preprocessing", "steps"),
    [
        ("nin-mnist", ("scale", "mean_image"), ["scale", "mean_image"]),
        ("nin-cifar10", ("scale", "standardize"), ["scale", "standardize", "standardize_2"]),
    ],
)
def test_the_paper_s_networks_answer_as_pytorch_does_in_float64(
    architecture: str, preprocessing: tuple[str, ...], steps: list[str], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", architecture, preprocessing)
    exported = export_run(run)
    assert [node.name for node in onnx.load(exported.model).graph.node] == ["transpose", "cast", *steps, *LAYERS]
    classifier, _ = load_classifier(run / "model.safetensors")
    classifier.double()
    compiled = session(exported.model)
    evaluator = ReferenceEvaluator(str(exported.model))
    card = exported.card

    def answer(images: NDArray[np.uint8]) -> Result:
        with torch.inference_mode():
            return {name: tensor.numpy() for name, tensor in classifier(torch.from_numpy(images))._asdict().items()}

    @settings(max_examples=5)
    @given(images=batches(card.height, card.width, card.channels, most=3))
    def answers_alike(images: NDArray[np.uint8]) -> None:
        expected = answer(images)
        assert_close(compiled.run(None, {"images": images}), expected)
        found = evaluator.run(None, {"images": images})
        assert isinstance(found, list)
        assert_close(found, expected)

    answers_alike()
