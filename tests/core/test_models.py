"""What a model's name stands for."""

from pathlib import Path

import pytest

from nin_onnx import models
from nin_onnx.errors import ModelError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder; beside it, two models ship."""
    shipped = tmp_path / "shipped"
    for name in ("nin-mnist", "nin-digits"):
        (shipped / name).mkdir(parents=True)
        (shipped / name / "model.onnx").touch()
    (shipped / "__pycache__").mkdir()
    monkeypatch.setattr(models, "FOLDER", shipped)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_the_models_that_ship_are_the_folders_with_a_model(here: Path) -> None:
    assert models.shipped() == ("nin-digits", "nin-mnist")


def test_a_shipped_name_stands_for_its_file(here: Path) -> None:
    assert models.find("nin-mnist") == here.parent / "shipped" / "nin-mnist" / "model.onnx"


def test_a_variant_is_named_behind_its_model(here: Path) -> None:
    variant = here.parent / "shipped" / "nin-mnist" / "int8"
    variant.mkdir()
    (variant / "model.onnx").touch()
    assert models.find("nin-mnist/int8") == variant / "model.onnx"
    with pytest.raises(ModelError, match=r"^there is no file 'nin-mnist/fp16', and no shipped model of that name \(shipped: "):
        models.find("nin-mnist/fp16")


@pytest.mark.parametrize("given", ["some.onnx", "without_suffix"])
def test_a_file_stands_for_itself(given: str, here: Path) -> None:
    Path(given).touch()
    assert models.find(given) == Path(given)


@pytest.mark.parametrize("file", ["folder/model.onnx", "folder/model/model.onnx"])
def test_a_folder_stands_for_the_model_in_it_and_a_run_for_its_export(file: str, here: Path) -> None:
    Path(file).parent.mkdir(parents=True)
    Path(file).touch()
    assert models.find("folder") == Path(file)


def test_a_folder_without_a_model_is_an_error_that_says_how_to_make_one(here: Path) -> None:
    Path("run").mkdir()
    with pytest.raises(ModelError, match=r"^the folder 'run' holds no model.onnx: make one with nin-onnx export run$"):
        models.find("run")


def test_a_name_that_is_nothing_is_an_error_that_lists_what_ships(here: Path) -> None:
    message = r"^there is no file 'nin-mnits', and no shipped model of that name \(shipped: nin-digits, nin-mnist\)$"
    with pytest.raises(ModelError, match=message):
        models.find("nin-mnits")
