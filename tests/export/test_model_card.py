"""The README of a model folder: what the hub's own library reads in it, and whether what it tells to do works."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from huggingface_hub import ModelCard
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from nin_onnx import models
from nin_onnx.card import Card, read_card
from nin_onnx.export.model_card import render
from nin_onnx.runtimes.backends import npm
from nin_onnx.runtimes.backends.base import Unusable
from nin_onnx.runtimes.backends.registry import runtime
from nin_onnx.variants import FLOAT_INPUT, float_input

SHIPPED = models.FOLDER / "nin-mnist"
RESULT = Path(__file__).parents[2] / "results" / "mnist-modern-seed0.json"


def shipped_card() -> Card:
    card = read_card(onnx.load(SHIPPED / "model.onnx"))
    assert card is not None
    return card


CARD = shipped_card()


def code(language: str, text: str | None = None) -> list[str]:
    """The examples in a language."""
    text = (SHIPPED / "README.md").read_text(encoding="utf-8") if text is None else text
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_hub_reads_license_data_and_error_of_the_shipped_model() -> None:
    card = ModelCard.load(SHIPPED / "README.md")
    test = json.loads(RESULT.read_text())["test"]
    assert (card.data.license, card.data.library_name, card.data.pipeline_tag) == ("apache-2.0", "onnx", "image-classification")
    assert card.data.datasets == ["ylecun/mnist"]
    assert card.data.model_name == "nin-mnist"
    results: Any = card.data.eval_results
    found = {result.metric_type: (result.metric_value, result.dataset_type, result.dataset_split) for result in results}
    assert found["error"] == (test["error"], "ylecun/mnist", "test")
    assert found["accuracy"] == (1 - test["errors"] / test["images"], "ylecun/mnist", "test")


@pytest.mark.parametrize("name", models.shipped())
def test_a_shipped_readme_is_what_its_card_says(name: str) -> None:
    model = onnx.load(models.FOLDER / name / "model.onnx")
    card = read_card(model)
    assert card is not None
    int8 = read_card(onnx.load(models.FOLDER / name / "int8" / "model.onnx"))
    assert int8 is not None
    expected = render(card, "class_maps" in {value.name for value in model.graph.output}, {"int8": int8})
    assert (models.FOLDER / name / "README.md").read_text(encoding="utf-8") == expected


def test_the_card_of_the_shipped_model_holds_what_its_run_came_to() -> None:
    assert (CARD.recipe, CARD.license) == ("mnist-modern", "Apache-2.0")
    assert CARD.test == json.loads(RESULT.read_text())["test"]


def test_it_tells_the_error_with_its_interval_and_the_papers_numbers() -> None:
    text = " ".join(render(CARD).split())
    assert "**0.44 % test error** (44 of 10,000 images, 95 % interval 0.33 to 0.59" in text
    assert "the paper has 0.47 % (Table 4)" in text
    assert "349,674 parameters, 50.7 million multiply-adds" in text  # of the author's own MNIST layers
    for value in (CARD.golden, CARD.weights, CARD.dataset["fingerprint"]):
        assert value in text


def test_a_card_that_knows_little_claims_nothing() -> None:
    bare = replace(
        CARD,
        architecture="their own",
        recipe="",
        experiment=None,
        dataset={},
        test=None,
        license=None,
        weights="",
        trained_with={},
    )
    text = render(bare, class_maps=False)
    data: Any = ModelCard(text).data
    assert {"license", "datasets", "metrics", "model-index"}.isdisjoint(data.to_dict())
    for word in ("class_maps", "test error", "None", "recipe", "sha256 ``", "1312.4400"):
        assert word not in text


@given(st.text(min_size=1), st.text(), st.text(), st.lists(st.text(), min_size=1, max_size=4))
@example("null", "off", "yes", ["true"])
def test_any_text_comes_through_the_front_matter(name: str, dataset: str, license: str, labels: list[str]) -> None:
    test = {"name": dataset, "split": "test", "images": 7, "errors": 1, "error": 100 / 7, "low": 1.0, "high": 50.0}
    card = replace(CARD, name=name, license=license, labels=tuple(labels), test=test | {"provenance": "user's own"})
    data: Any = ModelCard(render(card)).data
    (model,) = data.to_dict()["model-index"]
    assert model["name"] == name
    assert model["results"][0]["dataset"]["name"] == dataset


@pytest.mark.parametrize("number", [0, 1], ids=["Classifier", "ONNX Runtime"])
def test_its_python_runs_beside_the_model(number: int, tmp_path: Path) -> None:
    shutil.copy(SHIPPED / "model.onnx", tmp_path)
    Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(tmp_path / "image.png")
    done = subprocess.run(
        [sys.executable, "-c", code("python")[number]], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[0] == "1"  # what the model takes black for


def test_what_it_says_to_install_brings_what_its_first_example_needs() -> None:
    (told,) = re.findall(r"pip install 'nin-onnx\[(.+)\]'", render(CARD))
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    brought = {requirement.partition(">")[0] for extra in told.split(",") for requirement in extras[extra]}
    assert brought == {"onnxruntime", "pillow"}  # to run the model, and to read a file


@pytest.mark.parametrize("form", ["pixels", "floats"])
def test_its_javascript_runs_in_node(form: str, tmp_path: Path) -> None:
    try:
        runtime("onnxruntime-node").check()
    except Unusable as reason:
        pytest.skip(f"{reason.reason}: {reason.install}")
    card = CARD if form == "pixels" else replace(CARD, input=FLOAT_INPUT)
    model = onnx.load(SHIPPED / "model.onnx")
    if form == "floats":
        model = float_input(model)
    onnx.save(model, tmp_path / "model.onnx")
    (tmp_path / "node_modules").symlink_to(npm.place("onnxruntime-node").parent)
    (tmp_path / "example.mjs").write_text(code("js", render(card))[0])
    done = subprocess.run(["node", "example.mjs"], cwd=tmp_path, capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.split() == ["1"]


def test_a_label_with_a_comma_is_told_from_two_labels() -> None:
    text = render(replace(CARD, labels=("shirt, white", "shirt", 'a "big" one')))
    assert '```text\n"shirt, white", shirt, "a \\"big\\" one"\n```' in text


@given(st.lists(st.text("ab `\n~", min_size=1), min_size=1, max_size=3))
def test_labels_cannot_end_the_block_that_they_stand_in(labels: list[str]) -> None:
    text = render(replace(CARD, labels=tuple(labels)))
    fence, inside = re.findall(r"^(`{3,})text\n(.*?)^\1$", text, re.DOTALL | re.MULTILINE)[0]
    assert fence not in inside
    assert inside.split() == ", ".join(labels).split()
