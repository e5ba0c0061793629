"""The embedding API: against the golden vectors, NumPy, and what is written down."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import nin_onnx
from nin_onnx import models
from nin_onnx.classifier import Classifier, Prediction
from nin_onnx.errors import ImageError, MissingExtraError, ModelError, NinOnnxError
from nin_onnx.golden import read_golden
from nin_onnx.images import Fit, read_image
from nin_onnx.variants import float_input

NOISE = np.random.default_rng(0).integers(0, 256, (40, 28, 28), np.uint8)
SHAPES = [(28, 28), (28, 28, 1), (28, 28, 2), (28, 28, 3), (28, 28, 4), (30, 50), (30, 50, 3), (5, 6, 4)]

ANSWER = """
import sys
import numpy, onnxruntime
theirs = {name.partition(".")[0] for name in sys.modules}
import nin_onnx
assert "nin_onnx.classifier" not in sys.modules
prediction = nin_onnx.Classifier("nin-mnist")(numpy.zeros((28, 28), numpy.uint8))
ours = {name.partition(".")[0] for name in sys.modules} - theirs
print(prediction.label, *sorted(ours - sys.stdlib_module_names))
"""


@pytest.fixture(scope="module")
def mnist() -> Classifier:
    return Classifier("nin-mnist", threads=1)


def same(one: Prediction, other: Prediction) -> bool:
    """Whether two predictions are the same to the bit."""
    assert one.class_maps is not None
    assert other.class_maps is not None
    return one.probabilities.tobytes() == other.probabilities.tobytes() and one.class_maps.tobytes() == other.class_maps.tobytes()


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


def test_the_golden_vectors_come_out(mnist: Classifier) -> None:
    golden = read_golden(models.FOLDER / "nin-mnist")
    assert golden is not None
    found = mnist.batch(golden.images)
    answers: dict[str, list[Any]] = {
        "probabilities": [one.probabilities for one in found],
        "class_maps": [one.class_maps for one in found],
    }
    for name, arrays in answers.items():
        np.testing.assert_allclose(np.stack(arrays), golden.outputs[name], rtol=0, atol=1e-5 * golden.scale(name), strict=True)


def test_a_prediction_orders_its_labels_by_probability() -> None:
    prediction = Prediction(("a", "b", "c"), np.array([0.2, 0.5, 0.3], np.float32), None)
    assert (prediction.index, prediction.label, prediction.probability) == (1, "b", 0.5)
    assert [label for label, _ in prediction.top()] == ["b", "c", "a"]
    assert prediction.top(1) == [("b", 0.5)]


def test_a_prediction_cannot_be_changed(mnist: Classifier) -> None:
    prediction = mnist(NOISE[0])
    assert prediction.class_maps is not None
    with pytest.raises(FrozenInstanceError):
        prediction.labels = ()  # type: ignore[misc]
    for array in (prediction.probabilities, prediction.class_maps):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_eight_threads_on_one_instance_give_the_bits_of_one(mnist: Classifier) -> None:
    for threads in (1, 2):
        classifier = Classifier("nin-mnist", threads=threads)
        alone = [classifier(image) for image in NOISE]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(classifier, [*NOISE] * 3))
        assert all(same(one, other) for one, other in zip(together, alone * 3, strict=True))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_array_and_pillow_image_are_seen_as_the_file_that_holds_them(shape: tuple[int, ...], fit: Fit, tmp_path: Path) -> None:
    array = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    picture = Image.fromarray(array[..., 0] if shape[-1] == 1 else array)
    picture.save(tmp_path / "image.png")
    classifier = Classifier("nin-mnist", fit=fit)
    expected = read_image(tmp_path / "image.png", 28, 28, 1, fit)
    for form in (array, picture, tmp_path / "image.png", str(tmp_path / "image.png")):
        np.testing.assert_array_equal(classifier.pixels(form), expected, strict=True)


def test_many_images_of_any_kind_are_answered_in_their_order(mnist: Classifier, tmp_path: Path) -> None:
    Image.fromarray(NOISE[0]).save(tmp_path / "a.png")
    mixture = [tmp_path / "a.png", NOISE[1], Image.fromarray(NOISE[2]), NOISE[3][..., None], *NOISE[4:]]
    for images in (mixture, NOISE, NOISE[..., None], iter(NOISE)):
        found = mnist.batch(images)
        assert len(found) == len(NOISE)
        for prediction, image in zip(found, NOISE, strict=True):
            np.testing.assert_allclose(prediction.probabilities, mnist(image).probabilities, rtol=0, atol=1e-6)


def test_no_images_give_no_predictions(mnist: Classifier) -> None:
    assert mnist.batch([]) == []


def test_the_variant_with_float_input_gives_the_same_bits(mnist: Classifier, tmp_path: Path) -> None:
    onnx.save(float_input(onnx.load(models.find("nin-mnist"))), tmp_path / "model.onnx")
    variant = Classifier(tmp_path, threads=1)
    assert all(same(variant(image), mnist(image)) for image in NOISE[:4])


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


def test_grey_pixels_are_three_equal_channels_for_a_model_of_colours(tmp_path: Path) -> None:
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
        (["N", 5, 4, 4], {"scale": 1}, "should take grey or RGB images"),
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
    with pytest.raises(ModelError, match="should take grey or RGB images"):
        Classifier(tmp_path / "none.onnx")


def test_numbers_for_a_model_that_carries_its_own_are_refused() -> None:
    with pytest.raises(ModelError, match="its preprocessing is inside: leave scale, mean and std out"):
        Classifier("nin-mnist", scale=1 / 255)


def test_a_file_that_is_no_model_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "some.onnx").write_bytes(b"no protobuf")
    with pytest.raises(ModelError, match="ONNX Runtime cannot load") as caught:
        Classifier(tmp_path / "some.onnx")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((28, 28), np.float32), r"an array float32 \[28, 28\]: expected pixels 0…255 as uint8"),
        (np.zeros((3, 28, 28), np.uint8), r"expected the channels last: image.transpose\(1, 2, 0\)"),
        (np.zeros((28, 28, 5), np.uint8), "with 1 to 4 channels"),
        (np.zeros((0, 28), np.uint8), "with 1 to 4 channels"),
        (np.zeros((2, 28, 28, 1), np.uint8), r"several images .* classifier.batch\(images\)"),
        ([np.zeros((28, 28), np.uint8)], r"several images .* classifier.batch\(images\)"),
        (None, "a 'NoneType': expected an array, a path or a Pillow image"),
        ("absent.png", "'absent.png' cannot be used \\(No such file or directory\\)"),
        (Path(__file__), "no image, or of another format"),
        (Image.new("L", (0, 5)), "an image of 5 × 0, which has no pixels"),
    ],
)
def test_what_is_no_image_is_said_to_be_none(image: Any, message: str, mnist: Classifier) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        mnist(image)
    assert "\n" not in str(caught.value)


def test_a_broken_file_that_pillow_has_opened_is_no_image(mnist: Classifier, tmp_path: Path) -> None:
    Image.fromarray(NOISE[0]).save(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(content[: len(content) // 2])
    with Image.open(tmp_path / "half.jpg") as image, pytest.raises(ImageError, match=r"an image cannot be used \(.*truncated"):
        mnist(image)


@pytest.mark.parametrize(
    "image",
    [NOISE[0], NOISE[0][..., None], "image.png", Path("image.png"), Image.fromarray(NOISE[0])],
    ids=["grey", "1 channel", "str", "path", "Pillow"],
)
def test_one_image_is_no_batch(image: Any, mnist: Classifier) -> None:
    with pytest.raises(ImageError, match=r"one image was given where several are expected: classifier\(image\)"):
        mnist.batch(image)


def test_the_caller_chooses_threads_and_providers() -> None:
    classifier = Classifier("nin-mnist", threads=3, providers=[("CPUExecutionProvider", {})])
    assert classifier._session.get_session_options().intra_op_num_threads == 3
    assert classifier.providers == ("CPUExecutionProvider",)


def test_a_provider_that_onnx_runtime_would_replace_in_silence_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda session: ["OtherExecutionProvider"])
    with pytest.raises(NinOnnxError, match="the provider 'CPUExecutionProvider' cannot run here"):
        Classifier("nin-mnist")


@pytest.mark.parametrize("image", [np.zeros((9, 9), np.uint8), "image.png"], ids=["another size", "a file"])
def test_without_pillow_what_needs_it_says_so_and_the_rest_works(
    image: Any, mnist: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"needs the package 'pillow': pip install 'nin-onnx\[images\]'"):
        mnist(image)
    assert mnist(NOISE[0]).label


def test_a_first_answer_brings_nothing_but_numpy_and_onnx_runtime() -> None:
    done = subprocess.run([sys.executable, "-c", ANSWER], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "nin_onnx"]


def test_the_package_offers_the_classifier_and_no_other_name_by_chance() -> None:
    assert nin_onnx.Classifier is Classifier
    with pytest.raises(AttributeError, match="no attribute 'Clasifier'"):
        nin_onnx.Clasifier  # noqa: B018


def test_a_name_that_nothing_has_is_an_error_that_lists_what_ships() -> None:
    with pytest.raises(ModelError, match=r"shipped: .*nin-mnist"):
        Classifier("nin-mnits")
