"""`nin-onnx show`: everything that a file tells, without a runtime."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from nin_onnx import models
from nin_onnx.architecture import architecture
from nin_onnx.card import read_card, write_card
from nin_onnx.commands.show import WIDTH
from nin_onnx.costs import multiply_adds, parameters
from nin_onnx.errors import ModelError

WITHOUT_RUNTIME = """
import sys
for name in ("onnxruntime", "torch", "PIL"):
    sys.modules[name] = None  # as if it were not installed
from nin_onnx.cli import main
main()
"""


@pytest.fixture
def told(printed: Callable[..., str]) -> Callable[..., Any]:
    """What is shown of a model, as data."""
    return lambda model: json.loads(printed("show", model, "--json"))


@pytest.fixture
def their(tmp_path: Path) -> str:
    """A model from elsewhere, with a name that is too long for any column."""
    weight = numpy_helper.from_array(
        numpy_helper.to_array(helper.make_tensor("w", TensorProto.FLOAT, [9, 3, 1, 1], [0.5] * 27)), "w"
    )
    name = f"/backbone/{'layer/' * 30}conv"
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "h", "w"])
    given = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 9])
    graph = helper.make_graph(nodes, "their", [taken], [given], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "their.onnx")
    return str(tmp_path / "their.onnx")


def test_the_sums_are_those_of_the_table_and_the_preprocessing_is_not_in_them(told: Callable[..., Any]) -> None:
    report = told("nin-mnist")
    table = architecture("nin-mnist")
    assert report["totals"] == {"parameters": parameters(table), "multiply_adds": multiply_adds(table)}
    assert report["totals"]["parameters"] == 349_674  # of the author's own layers
    assert [layer["operators"] for layer in report["preprocessing"]] == [["Transpose", "Div", "Sub"]]
    assert report["layers"][0]["name"] == "conv1"


def test_it_tells_all_of_the_card_and_the_specifications_keys(told: Callable[..., Any]) -> None:
    report = told("nin-mnist")
    card = read_card(onnx.load(models.find("nin-mnist")))
    assert card is not None
    assert report["card"] == {"comparison": None} | json.loads(card.to_json())
    assert report["metadata"] == {
        "Image.BitmapPixelFormat": "Gray8",
        "Image.ColorSpaceGamma": "SRGB",
        "Image.NominalPixelRange": "NominalRange_0_255",
    }
    assert report["inputs"] == ["images: uint8 [batch, 28, 28, 1]"]
    assert report["outputs"][0] == "logits: float32 [batch, 10]"


def test_a_reader_finds_what_an_embedder_needs(printed: Callable[..., str]) -> None:
    text = " ".join(printed("show", "nin-mnist").split())
    for words in (
        "images: uint8 [batch, 28, 28, 1]",
        "28 × 28, gray, raw pixels 0…255; others are stretched to that",
        "10 labels 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
        "preprocessing scale, mean_image",
        "recipe mnist-modern, seed 0",
        "test error 0.44 % [0.33, 0.59], 44 of 10,000 images; mnist, official",
        "paper 0.47 %, NIN + dropout, Table 4: reached, not by its protocol",
        "license Apache-2.0",
        "conv2 Conv 5×5, Relu 128 × 14 × 14 153,728 30,105,600",
        "network 349,674 50,699,712",
    ):
        assert words in text


def test_a_variant_s_test_error_is_told_to_be_that_of_the_network_and_judged_by_no_figure(printed: Callable[..., str]) -> None:
    text = " ".join(printed("show", "nin-mnist/int8").split())
    assert "mnist, official; of the network in float32, before it was made into this" in text
    assert "Table 4" not in text


def test_a_model_from_elsewhere_is_told_as_far_as_it_is_known(
    printed: Callable[..., str], told: Callable[..., Any], their: str
) -> None:
    report = told(their)
    assert (report["card"], report["preprocessing"], report["inputs"]) == (None, [], ["x: float32 [N, 3, h, w]"])
    assert report["totals"] == {"parameters": 27, "multiply_adds": None}
    text = printed("show", their)
    assert "none: the model is from elsewhere" in text
    assert text.splitlines()[-1].split() == ["network", "27", "?"]


def test_it_fits_in_100_columns(printed: Callable[..., str], their: str) -> None:
    for model in ("nin-mnist", their):
        assert max(map(len, printed("show", model).splitlines()[1:])) <= WIDTH  # the first may hold a path of any length


def changed(path: Path, **facts: Any) -> str:
    """The shipped model at `path`, with other facts in its card."""
    model = onnx.load(models.find("nin-mnist"))
    card = read_card(model)
    assert card is not None
    write_card(model, replace(card, **facts))
    onnx.save(model, path)
    return str(path)


def test_a_variant_says_which_form_it_is_and_of_which_graph(printed: Callable[..., str], tmp_path: Path) -> None:
    text = printed("show", changed(tmp_path / "int8.onnx", precision="int8", source="0123456789abcdef"))
    assert "variant        int8, uint8 [batch, height, width, channels], of the graph with sha256 0123456789ab\n" in text
    assert "variant" not in printed("show", "nin-mnist")


def test_a_network_of_which_no_recipe_is_known_claims_no_seed(printed: Callable[..., str], tmp_path: Path) -> None:
    assert "seed" not in printed("show", changed(tmp_path / "own.onnx", recipe=""))


def test_a_label_with_a_comma_is_told_from_two_labels(printed: Callable[..., str], tmp_path: Path) -> None:
    assert '2 labels       "shirt, white", shirt\n' in printed(
        "show", changed(tmp_path / "shirts.onnx", labels=("shirt, white", "shirt"))
    )


def test_what_a_file_says_does_not_steer_the_terminal(printed: Callable[..., str], tmp_path: Path) -> None:
    file = changed(tmp_path / "loud.onnx", labels=("\x1b[2J", "\x9b31m"), name="\x1b]0;a title\x07")
    model = onnx.load(file)
    model.graph.node[2].name = "\x1b[31m\nlicense"  # and no line of its own
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "\x1b[1A"
    onnx.save(model, file)
    text = printed("show", file)
    assert not {"\x1b", "\x9b", "\x07"} & {*text}
    assert [line.split()[1:] for line in text.splitlines() if line.startswith("license")] == [["Apache-2.0"]]


def test_an_output_that_is_no_array_is_named_by_its_kind(told: Callable[..., Any], tmp_path: Path) -> None:
    nodes = [helper.make_node("Flatten", ["x"], ["y"]), helper.make_node("SequenceConstruct", ["y"], ["each"])]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 2, 2])
    given = [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 12]),
        helper.make_tensor_sequence_value_info("each", TensorProto.FLOAT, None),
    ]
    graph = helper.make_graph(nodes, "two", [taken], given)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "two.onnx")
    assert told(str(tmp_path / "two.onnx"))["outputs"] == ["y: float32 [N, 12]", "each: sequence"]


def test_labels_that_are_blank_leave_the_rest_to_be_read(printed: Callable[..., str], tmp_path: Path) -> None:
    assert "license        Apache-2.0" in printed("show", changed(tmp_path / "blank.onnx", labels=(" ",)))


def test_a_model_is_shown_without_a_runtime() -> None:
    command = [sys.executable, "-c", WITHOUT_RUNTIME, "show", "nin-mnist"]
    assert "mnist-modern" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_what_is_no_model_is_an_error(printed: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "some.onnx").write_bytes(b"no protobuf")
    with pytest.raises(ModelError, match="is no valid ONNX file"):
        printed("show", str(tmp_path / "some.onnx"))
