"""The card, as a file carries it."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from nin_onnx.card import CARD_KEY, OF_DATA, Card, read_card, write_card
from nin_onnx.errors import ModelError

CARD = Card(
    name="nin-mnist",
    architecture="nin-mnist",
    labels=("0", "1", "zwölf"),
    input="uint8 [batch, height, width, channels]",
    height=28,
    width=28,
    channels=1,
    preprocessing=("scale", "mean_image"),
    recipe="mnist",
    experiment="mnist",
    dataset={"name": "mnist", "images": 60000, "provenance": "official", "fingerprint": "00ff"},
    golden="11" * 32,
    weights="22" * 32,
    trained_with={"torch": "2.13.0"},
)
TEST = {
    "name": "mnist",
    "split": "test",
    "provenance": "official",
    "images": 10_000,
    "errors": 57,
    "error": 0.57,
    "low": 0.44,
    "high": 0.74,
}
COMPARISON = {
    "errors": 60,
    "net": 3,
    "label_changes": 9,
    "images": 10_000,
    "runtime": "ONNX Runtime 1.32.0",
    "processor": "AMD EPYC",
    "instructions": ["AVX2"],
}


def empty_model() -> onnx.ModelProto:
    return helper.make_model(helper.make_graph([], "empty", [], []))


@pytest.mark.parametrize(
    "card", [CARD, replace(CARD, test=TEST, fit="crop"), replace(CARD, dataset={}), replace(CARD, comparison=COMPARISON)]
)
def test_a_card_comes_back_from_the_file_as_it_went_in(card: Card, tmp_path: Path) -> None:
    model = empty_model()
    write_card(model, card)
    onnx.save(model, tmp_path / "model.onnx")
    assert read_card(onnx.load(tmp_path / "model.onnx")) == card


@given(
    st.lists(st.text()).map(tuple),
    st.none() | st.text(),
    st.dictionaries(st.text().filter(lambda key: key not in OF_DATA), st.text() | st.integers() | st.none()),
)
def test_any_text_in_a_card_survives(
    labels: tuple[str, ...], experiment: str | None, dataset: dict[str, str | int | None]
) -> None:
    card = replace(CARD, labels=labels, experiment=experiment, dataset=dataset)
    model = empty_model()
    write_card(model, card)
    assert read_card(onnx.ModelProto.FromString(model.SerializeToString())) == card


def test_a_card_is_one_line_of_json_that_needs_no_nin_onnx() -> None:
    model = empty_model()
    write_card(model, CARD)
    (text,) = (entry.value for entry in model.metadata_props if entry.key == CARD_KEY)
    assert "\n" not in text
    expected = {key: value for key, value in asdict(CARD).items() if key != "comparison"}  # of which there is none
    assert json.loads(text) == expected | {"labels": ["0", "1", "zwölf"], "preprocessing": ["scale", "mean_image"]}


@pytest.mark.parametrize(("channels", "pixels"), [(1, "Gray8"), (3, "Rgb8")])
def test_the_keys_that_onnx_defines_for_images_are_set(channels: int, pixels: str) -> None:
    model = empty_model()
    write_card(model, replace(CARD, channels=channels))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["Image.BitmapPixelFormat"] == pixels
    assert metadata["Image.ColorSpaceGamma"] == "SRGB"
    assert metadata["Image.NominalPixelRange"] == "NominalRange_0_255"


def test_a_second_card_replaces_the_first_and_leaves_other_metadata_alone() -> None:
    model = empty_model()
    model.metadata_props.add(key="someone.else", value="kept")
    write_card(model, CARD)
    write_card(model, replace(CARD, name="second"))
    keys = [entry.key for entry in model.metadata_props]
    assert len(set(keys)) == len(keys)
    assert "someone.else" in keys
    card = read_card(model)
    assert card is not None
    assert card.name == "second"


def test_a_model_of_someone_else_has_no_card() -> None:
    assert read_card(empty_model()) is None


def test_a_card_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    model = empty_model()
    model.metadata_props.add(key=CARD_KEY, value=json.dumps(asdict(CARD) | {"new": 1}))
    assert read_card(model) == CARD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        '{"a":' * 100_000,
        "null",
        "[]",
        '"text"',
        "{}",
        '{"labels": 1}',
        '{"labels": [], "preprocessing": []}',
    ],
)
def test_a_broken_card_is_an_error_that_says_what_to_do(text: str) -> None:
    model = empty_model()
    model.metadata_props.add(key=CARD_KEY, value=text)
    with pytest.raises(
        ModelError, match=r"^the model's metadata 'nin_onnx.card' is not a valid nin-onnx card \(.*\): export the model again$"
    ):
        read_card(model)


@pytest.mark.parametrize(
    "wrong",
    [
        {"dataset": None},
        {"dataset": {"name": [1]}},
        {"labels": [1, 2, 3]},
        {"labels": "012"},
        {"height": "28"},
        {"width": True},
        {"preprocessing": None},
        {"name": 3},
        {"name": "\ud800"},
        {"name": None},
        {"experiment": ["mnist"]},
        {"weights": {}},
        {"test": 0.5},
        {"seed": None},
        {"fit": "pad"},
        {"dataset": {"name": "mnist", "images": "60,000"}},
        {"dataset": {"name": "mnist", "fingerprint": 7}},
        {"test": {}},
        *({"test": {key: value for key, value in TEST.items() if key != lacking}} for lacking in TEST),
        {"test": TEST | {"error": "0.57"}},
        {"test": TEST | {"errors": 10_001}},
        {"test": TEST | {"images": 0, "errors": 0}},
        {"comparison": 3},
        *({"comparison": {key: value for key, value in COMPARISON.items() if key != lacking}} for lacking in COMPARISON),
        {"comparison": COMPARISON | {"net": "3"}},
        {"comparison": COMPARISON | {"instructions": [2]}},
    ],
)
def test_a_card_with_a_value_that_no_reader_could_print_is_an_error(wrong: dict[str, object]) -> None:
    model = empty_model()
    write_card(model, CARD)
    (entry,) = (entry for entry in model.metadata_props if entry.key == CARD_KEY)
    entry.value = json.dumps(json.loads(entry.value) | wrong)
    with pytest.raises(ModelError, match="is not a valid nin-onnx card"):
        read_card(model)


def test_a_card_that_was_written_with_licence_tells_its_license() -> None:
    model = empty_model()
    write_card(model, replace(CARD, license="Apache-2.0"))
    (entry,) = (entry for entry in model.metadata_props if entry.key == CARD_KEY)
    values = json.loads(entry.value)
    values["licence"] = values.pop("license")
    entry.value = json.dumps(values)
    assert read_card(model) == replace(CARD, license="Apache-2.0")
