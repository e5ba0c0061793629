"""`nin-onnx predict`: what it prints, draws and refuses."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper
from PIL import Image

from nin_onnx.classifier import Classifier
from nin_onnx.commands.predict import predict
from nin_onnx.errors import NinOnnxError


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    """Three pictures of noise, of several sizes and modes."""
    random = np.random.default_rng(0)
    paths = []
    for name, shape in {"a.png": (28, 28), "b.png": (50, 40, 3), "c.jpg": (9, 9, 3)}.items():
        Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(tmp_path / name)
        paths.append(str(tmp_path / name))
    return paths


@pytest.fixture
def their(tmp_path: Path) -> str:
    """A model from elsewhere without class maps: the scores of three classes are the means of red, green and blue."""
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["pooled"]), helper.make_node("Flatten", ["pooled"], ["scores"])]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])
    given = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph(nodes, "their", [taken], [given])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "their.onnx")
    return str(tmp_path / "their.onnx")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(predict, arguments, catch_exceptions=False)


def test_it_says_what_the_classifier_says(images: list[str]) -> None:
    report = json.loads(run("nin-mnist", *images, "--json", "--top", "3", "--threads", "1").stdout)
    classifier = Classifier("nin-mnist", threads=1)
    assert [one["image"] for one in report["predictions"]] == images
    for found, prediction in zip(report["predictions"], classifier.batch(images), strict=True):
        assert found["label"] == prediction.label
        assert found["probability"] == prediction.probability
        assert [(one["label"], one["probability"]) for one in found["top"]] == prediction.top(3)


def test_the_image_stands_beside_its_labels_in_per_cent(images: list[str]) -> None:
    lines = run("nin-mnist", *images[:2], "--top", "2").stdout.splitlines()
    assert len(lines) == 4
    expected = Classifier("nin-mnist")(images[0]).top(2)
    assert lines[0].split() == [images[0], expected[0][0], f"{100 * expected[0][1]:.2f}", "%"]
    assert lines[1].split() == [expected[1][0], f"{100 * expected[1][1]:.2f}", "%"]
    assert lines[2].startswith(images[1])


def test_five_labels_are_shown_unless_told_otherwise(images: list[str]) -> None:
    assert len(run("nin-mnist", images[0]).stdout.splitlines()) == 5


def test_maps_are_drawn_for_each_image(images: list[str], tmp_path: Path) -> None:
    report = json.loads(run("nin-mnist", *images, "--maps", str(tmp_path / "new" / "maps"), "--top", "2", "--json").stdout)
    targets = [tmp_path / "new" / "maps" / f"{name}.png" for name in "abc"]
    assert [one["maps"] for one in report["predictions"]] == [str(target) for target in targets]
    assert sorted((tmp_path / "new" / "maps").iterdir()) == targets
    for target in targets:
        with Image.open(target) as picture:
            assert picture.format == "PNG"
            assert picture.size[0] > 3 * 128


def test_two_images_of_one_name_are_not_drawn_to_one_file(images: list[str], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.jpg").write_bytes(Path(images[2]).read_bytes())
    with pytest.raises(NinOnnxError, match="several images would be drawn to"):
        run("nin-mnist", images[0], str(other / "a.jpg"), "--maps", str(tmp_path / "maps"))
    assert not (tmp_path / "maps").exists()


def test_an_image_is_never_overwritten_by_its_maps(images: list[str], tmp_path: Path) -> None:
    before = Path(images[0]).read_bytes()
    with pytest.raises(NinOnnxError, match="would be overwritten"):
        run("nin-mnist", images[0], "--maps", str(tmp_path))
    assert Path(images[0]).read_bytes() == before


def test_a_model_from_elsewhere_is_told_labels_and_numbers(their: str, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20), (0, 200, 0)).save(tmp_path / "green.png")
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    numbers = ("--scale", "1/255", "--mean", "0.5,0.5,0.5", "--std", "0.25")
    report = json.loads(
        run(their, str(tmp_path / "green.png"), "--labels", str(tmp_path / "labels.txt"), *numbers, "--json").stdout
    )
    scores = np.exp((np.array([0, 200, 0]) / 255 - 0.5) / 0.25)
    (found,) = report["predictions"]
    assert found["label"] == "green"
    assert found["probability"] == pytest.approx(scores[1] / scores.sum(), abs=1e-6)


def test_maps_of_a_model_without_any_are_an_error(their: str, images: list[str], tmp_path: Path) -> None:
    with pytest.raises(NinOnnxError, match="gives no class maps"):
        run(their, images[0], "--scale", "1", "--maps", str(tmp_path / "maps"))


@pytest.mark.parametrize("value", ["", "1/0", "a", "1,,2", "1e400"])
def test_what_is_no_number_is_wrong_usage(value: str, their: str, images: list[str]) -> None:
    result = run(their, images[0], "--scale", value)
    assert result.exit_code == 2
    assert "expected one number, or one for each channel" in result.output


def test_a_mark_at_the_beginning_of_a_file_of_labels_is_no_part_of_the_first(
    their: str, images: list[str], tmp_path: Path
) -> None:
    (tmp_path / "labels.txt").write_bytes(b"\xef\xbb\xbfred\r\ngreen\r\nblue\r\n")
    report = json.loads(run(their, images[1], "--scale", "1", "--labels", str(tmp_path / "labels.txt"), "--json").stdout)
    assert {one["label"] for one in report["predictions"][0]["top"]} == {"red", "green", "blue"}


def test_a_graph_for_images_of_any_size_is_told_one(their: str, tmp_path: Path) -> None:
    model = onnx.load(their)
    for side, name in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], "hw", strict=True):
        side.dim_param = name
    onnx.save(model, their)
    half = np.zeros((2, 6, 3), np.uint8)
    half[:, :2, 1] = 30
    Image.fromarray(half).save(tmp_path / "half.png")
    arguments = (their, str(tmp_path / "half.png"), "--scale", "1", "--json")
    with pytest.raises(NinOnnxError, match="takes images of any size"):
        run(*arguments)
    cropped = json.loads(run(*arguments, "--size", "2", "2", "--fit", "crop").stdout)["predictions"][0]  # the middle, black
    assert cropped["probability"] == pytest.approx(1 / 3)
    whole = json.loads(run(*arguments, "--size", "2", "6").stdout)["predictions"][0]
    assert whole["probability"] == pytest.approx(np.exp(10) / (np.exp(10) + 2))
    assert run(*arguments, "--size", "0", "2").exit_code == 2


def test_a_label_does_not_steer_the_terminal(their: str, images: list[str], tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\x1b[2J\ngreen\nblue\n")
    assert "\x1b" not in run(their, images[1], "--scale", "1", "--labels", str(tmp_path / "labels.txt")).stdout


def test_labels_that_cannot_be_read_are_an_error(their: str, images: list[str]) -> None:
    with pytest.raises(NinOnnxError, match=r"cannot read the labels in 'absent\.txt'"):
        run(their, images[0], "--scale", "1", "--labels", "absent.txt")


def test_it_needs_an_image() -> None:
    assert run("nin-mnist").exit_code == 2
