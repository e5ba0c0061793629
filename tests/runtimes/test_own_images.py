"""`nin-onnx eval --images FOLDER`: the error on a user's own images, by the card's labels and sizes."""

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from nin_onnx.cli import cli
from nin_onnx.data.dataset import Dataset
from nin_onnx.errors import DataError, ModelError, UnknownNameError

Writer = Callable[..., Path]

IMAGES, ERRORS = 24, 5


@pytest.fixture
def folder(tiny_data: Callable[..., Dataset], tmp_path: Path) -> Path:
    """Images of the model's own size, some of them in another class's folder than the model decides."""
    data = tiny_data(IMAGES, errors=ERRORS)
    for number, (pixels, label) in enumerate(zip(data.images, data.labels, strict=True)):
        place = tmp_path / "animals" / data.classes[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{number}.png")
    return tmp_path / "animals"


def run(model: Path, *options: str | Path) -> Result:
    arguments = ["eval", str(model), "--runtime", "onnxruntime", "--runtime", "reference", *map(str, options)]
    return CliRunner().invoke(cli, arguments, standalone_mode=False)


def test_the_error_is_measured_as_on_a_data_set(tiny_model: Writer, folder: Path) -> None:
    values = json.loads(run(tiny_model(), "--images", folder, "--json").stdout)
    assert values["exit_status"] == 0
    assert {key: values["dataset"][key] for key in ("name", "images", "provenance")} == {
        "name": "folder:animals",
        "images": IMAGES,
        "provenance": "user's own",
    }
    for row in values["rows"]:
        assert (row["outcome"], row["accuracy"]["errors"], row["accuracy"]["images"]) == ("pass", ERRORS, IMAGES)
        assert row["accuracy"]["verdict"] is None  # the paper's figure is another data set's
    assert values["rows"][1]["label_changes"]["changes"] == 0


def test_the_table_says_whose_images_they_are_and_the_highest_error_holds(tiny_model: Writer, folder: Path) -> None:
    result = run(tiny_model(), "--images", folder, "--max-error", "10")
    assert result.return_value == 1
    assert f"data    folder:animals test, {IMAGES} images, user's own, fingerprint " in result.stdout
    assert "FAIL: onnxruntime: error 20.83 %, at most 10 % was asked for" in result.stdout


@pytest.mark.parametrize(("fit", "same"), [("stretch", False), ("crop", True)])
def test_an_image_of_another_size_is_brought_to_the_card_s_as_the_card_says(
    tiny_model: Writer, folder: Path, fit: str, same: bool
) -> None:
    (file,) = list((folder / "ant").glob("*.png"))[:1]
    with Image.open(file) as image:
        fitting = image.copy()
    wide = Image.new("RGB", (fitting.width * 3, fitting.height), (255, 0, 0))
    wide.paste(fitting, (fitting.width, 0))  # what is left of it when both ends are cut off
    before = json.loads(run(tiny_model(), "--images", folder, "--json").stdout)["dataset"]["fingerprint"]
    wide.save(file)
    after = json.loads(run(tiny_model(fit=fit), "--images", folder, "--json").stdout)["dataset"]["fingerprint"]
    assert (before == after) == same


def test_a_file_that_is_no_image_is_named_before_anything_runs(tiny_model: Writer, folder: Path) -> None:
    (folder / "bee" / "broken.png").write_bytes(b"no image")
    error = run(tiny_model(), "--images", folder).exception
    assert isinstance(error, DataError)
    assert "1 of 25 files in" in str(error)
    assert "'bee/broken.png' (no image, or of another format)" in str(error)


def test_a_sub_folder_that_bears_none_of_the_card_s_labels_is_refused(tiny_model: Writer, folder: Path) -> None:
    (folder / "bee").rename(folder / "bees")
    error = run(tiny_model(), "--images", folder).exception
    assert isinstance(error, UnknownNameError)
    assert str(error) == "unknown class folder 'bees': did you mean 'bee'? known are ant, bee, cat, dog"


def test_without_a_card_it_says_what_cannot_be_known(tiny_model: Writer, folder: Path) -> None:
    error = run(tiny_model(card=False), "--images", folder).exception
    assert isinstance(error, ModelError)
    assert "has no card that tells its labels and how an image becomes its input" in str(error)


def test_two_kinds_of_test_images_are_wrong_usage(tiny_model: Writer, folder: Path) -> None:
    assert isinstance(run(tiny_model(), "--images", folder, "--dataset", "mnist").exception, click.UsageError)
