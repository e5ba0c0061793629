"""The embedding API with models from elsewhere: what the caller tells of them, and what cannot be known."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nin_onnx.classifier import Classifier
from nin_onnx.errors import ModelError, NinOnnxError


def mean_of_channels(
    path: Path,
    shape: list[int | str | None],
    *,
    kind: int = TensorProto.FLOAT,
    softmax: bool = False,
    flat: bool = True,
    classes: int | None = 3,
) -> Path:
    """Writes a classifier from elsewhere: a class's score is the mean of its channel. `shape` is [N, C, h, w] or [N, h, w, C]."""
    nodes = [helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT)]
    planes = "float"
    if shape[3] == 3:
        nodes.append(helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]))
        planes = "planes"
    nodes.append(helper.make_node("GlobalAveragePool", [planes], ["pooled"]))
    last = "pooled"
    if flat:
        nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
        last = "flat"
    if classes is None:  # what no shape inference can tell: which columns stay depends on values
        nodes.append(helper.make_node("Constant", [], ["zero"], value_int=0))
        nodes.append(helper.make_node("Gather", ["flat", "zero"], ["first"], axis=0))
        nodes.append(helper.make_node("IsNaN", ["first"], ["nan"]))
        nodes.append(helper.make_node("Not", ["nan"], ["sound"]))
        nodes.append(helper.make_node("Compress", ["flat", "sound"], ["open"], axis=1))
        last = "open"
    if softmax:
        nodes.append(helper.make_node("Softmax", [last], ["soft"], axis=1))
        last = "soft"
    given = helper.make_tensor_value_info(last, TensorProto.FLOAT, [shape[0], classes] + ([] if flat else [1, 1]))
    graph = helper.make_graph(nodes, "elsewhere", [helper.make_tensor_value_info("x", kind, shape)], [given])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path)
    return path


def softmax(scores: Any) -> NDArray[np.float64]:
    exponentials = np.exp(np.float64(scores))
    return np.asarray(exponentials / exponentials.sum(-1, keepdims=True))


@pytest.mark.parametrize("shape", [["N", 3, 4, 5], ["N", 4, 5, 3], [1, 3, 4, 5], [7, 4, 5, 3], [None, 3, None, "w"]], ids=str)
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_a_model_from_elsewhere_takes_pixels_as_the_caller_says(shape: list[int | str | None], kind: int, tmp_path: Path) -> None:
    path = mean_of_channels(tmp_path / "their.onnx", shape, kind=kind)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    size = (4, 5) if shape[2] is None else None
    classifier = Classifier(path, labels=["r", "g", "b"], scale=1 / 255, mean=mean, std=std, size=size)
    images = np.random.default_rng(2).integers(0, 256, (9, 4, 5, 3), np.uint8)
    expected = softmax(((images / 255 - mean) / std).mean((1, 2)))
    found = classifier.batch(images)
    tolerance = 1e-2 if kind == TensorProto.FLOAT16 else 1e-6
    np.testing.assert_allclose([one.probabilities for one in found], expected, rtol=0, atol=tolerance)
    assert [one.class_maps for one in found] == [None] * 9
    assert found[0].label == "rgb"[expected[0].argmax()]


@pytest.mark.parametrize("flat", [True, False])
def test_scores_that_are_probabilities_are_left_as_they_are(flat: bool, tmp_path: Path) -> None:
    path = mean_of_channels(tmp_path / "their.onnx", ["N", 3, 2, 2], softmax=True, flat=flat)
    image = np.zeros((2, 2, 3), np.uint8)
    image[..., 1] = 2
    prediction = Classifier(path, scale=1)(image)
    np.testing.assert_allclose(prediction.probabilities, softmax([0, 2, 0]), atol=1e-6)
    assert prediction.label == "1"


def test_an_answer_does_not_depend_on_the_other_images_of_its_batch(tmp_path: Path) -> None:
    path = mean_of_channels(tmp_path / "their.onnx", ["N", 3, 2, 2])
    one = np.zeros((2, 2, 3), np.uint8)
    one[..., 1] = 1  # its scores 0, 1, 0 may be probabilities, those of the other cannot
    classifier = Classifier(path, scale=1)
    alone, beside = classifier(one), classifier.batch([one, 9 * one])[0]
    np.testing.assert_array_equal(alone.probabilities, beside.probabilities)


def test_gray_pixels_are_three_equal_channels_for_a_model_of_colors(tmp_path: Path) -> None:
    path = mean_of_channels(tmp_path / "their.onnx", ["N", 4, 4, 3], kind=TensorProto.UINT8)
    pixels = Classifier(path).pixels(np.full((4, 4), 7, np.uint8))
    assert pixels.tolist() == [[[7, 7, 7]] * 4] * 4


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        (["N", 3, 4, 4], {}, "does not say how pixels become such: give scale"),
        (["N", 3, 4, 4], {"mean": 0.5}, "does not say how pixels become such: give scale"),
        (["N", 3, 4, 4], {"scale": 1, "labels": ["a"]}, "tells 3 classes apart, and 1 labels are known: give one for each class"),
        (["N", 3, 4, 4], {"scale": 1, "std": 0}, "std '0': expected one positive number, or one for each of 3 channels"),
        (["N", 3, 4, 4], {"scale": 1, "mean": (1, 2)}, r"mean '\(1, 2\)': expected one number, or one for each of 3 channels"),
        (["N", 3, 4, 4], {"scale": 1, "size": (8, 8)}, "takes images of 4 × 4, not of 8 × 8: leave size out"),
        (["N", 3, "h", "w"], {"scale": 1}, r"takes images of any size: give that of its training \(size=\(height, width\)\)"),
        (["N", 5, 4, 4], {"scale": 1}, "should take gray or RGB images"),
        (["N", 3, 4, 4], {"scale": 1, "fit": "pad"}, "unknown fit 'pad'"),
        (["N", 3, 4, 4], {"scale": 1, "threads": 0}, "threads '0': expected 1 or more"),
        (["N", 3, 4, 4], {"scale": 1, "providers": ["CpuExecutionProvider"]}, "did you mean 'CPUExecutionProvider'"),
        (["N", 3, 4, 4], {"scale": 1, "providers": []}, "no providers were given: expected one or more of .*CPUExec"),
    ],
)
def test_what_cannot_be_known_or_done_is_said_in_one_line(
    shape: list[int | str | None], options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = mean_of_channels(tmp_path / "their.onnx", shape)
    with pytest.raises(NinOnnxError, match=message) as caught:
        Classifier(path, **options)
    assert "\n" not in str(caught.value)


def test_labels_of_unknown_number_must_be_given(tmp_path: Path) -> None:
    path = mean_of_channels(tmp_path / "their.onnx", ["N", 3, 4, 4], classes=None)
    with pytest.raises(ModelError, match="an unknown number of classes"):
        Classifier(path, scale=1)
    assert Classifier(path, scale=1, labels="rgb")(np.zeros((4, 4, 3), np.uint8)).labels == ("r", "g", "b")


@pytest.mark.parametrize("labels", ["rg", "rgba"])
def test_labels_of_another_number_than_the_scores_are_an_error_when_they_are_seen(labels: str, tmp_path: Path) -> None:
    classifier = Classifier(mean_of_channels(tmp_path / "their.onnx", ["N", 3, 4, 4], classes=None), scale=1, labels=labels)
    with pytest.raises(ModelError, match=rf"gives scores '\[1, 3\]' for 1 images and {len(labels)} labels"):
        classifier(np.zeros((4, 4, 3), np.uint8))


def test_scores_that_are_not_the_batch_s_are_an_error_and_not_dealt_out_among_the_images(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),  # of all images together, as if there were one
        helper.make_node("Concat", ["mean", "mean"], ["scores"], axis=0),
        helper.make_node("Reshape", ["scores", "shape"], ["y"]),
    ]
    constants = [numpy_helper.from_array(np.array(value), name) for name, value in (("axes", [0, 2, 3]), ("shape", [1, 6]))]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 4, 4])
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 6])
    graph = helper.make_graph(nodes, "one", [taken], [given], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "one.onnx")
    classifier = Classifier(tmp_path / "one.onnx", scale=1)
    assert len(classifier(np.zeros((4, 4, 3), np.uint8)).probabilities) == 6
    with pytest.raises(ModelError, match=r"gives scores '\[1, 6\]' for 2 images and 6 labels, expected '\[2, 6\]'"):
        classifier.batch(np.zeros((2, 4, 4, 3), np.uint8))


def test_a_graph_without_input_is_no_classifier(tmp_path: Path) -> None:
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    constant = numpy_helper.from_array(np.zeros((1, 3), np.float32), "w")
    graph = helper.make_graph([helper.make_node("Relu", ["w"], ["y"])], "none", [], [given], [constant])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="should take gray or RGB images"):
        Classifier(tmp_path / "none.onnx")


def test_a_file_that_is_no_model_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "some.onnx").write_bytes(b"no protobuf")
    with pytest.raises(ModelError, match="ONNX Runtime cannot load") as caught:
        Classifier(tmp_path / "some.onnx")
    assert "\n" not in str(caught.value)
