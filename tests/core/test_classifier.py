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
from PIL import Image

import nin_onnx
from nin_onnx import models
from nin_onnx.classifier import Classifier, Prediction
from nin_onnx.errors import ImageError, MissingExtraError, ModelError, NinOnnxError
from nin_onnx.fit import Fit
from nin_onnx.golden import read_golden
from nin_onnx.images import read_image
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


def test_numbers_for_a_model_that_carries_its_own_are_refused() -> None:
    with pytest.raises(ModelError, match="its preprocessing is inside: leave scale, mean and std out"):
        Classifier("nin-mnist", scale=1 / 255)


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
    ids=["gray", "1 channel", "str", "path", "Pillow"],
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


def test_a_keyword_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'scal'"):
        Classifier("nin-mnist", scal=1)  # type: ignore[call-arg]
