"""Checkpoints: what is written is read, and what is no checkpoint is named."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from nin_onnx.errors import RunError
from nin_onnx.recipe import NetworkSettings, Recipe
from nin_onnx.train import checkpoint
from nin_onnx.train.checkpoint import Checkpoint
from nin_onnx.train.initialization import initialize
from nin_onnx.train.network import TorchClassifier, channels_last

TENSORS = {
    "a": torch.arange(6).reshape(2, 3),
    "b": torch.tensor(0.5),
    "c": torch.linspace(-2, 3, 120).reshape(2, 3, 4, 5).bfloat16(),
}


def images(n: int) -> Tensor:
    return torch.randint(0, 256, (n, 8, 8, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def trained(tiny_recipe: Callable[..., Recipe]) -> tuple[TorchClassifier, Checkpoint]:
    recipe = tiny_recipe()
    classifier = checkpoint.build_classifier(recipe)
    classifier.preprocessing.fit(images(50))
    initialize(channels_last(classifier.network), NetworkSettings("any", initialization="he"), torch.Generator().manual_seed(0))
    return classifier, Checkpoint(recipe, 7, tuple("abcdefghij"), {"name": "tiny", "images": 110}, {"torch": "2"})


def save(path: Path, trained: tuple[TorchClassifier, Checkpoint]) -> Path:
    checkpoint.save_classifier(path, trained[0].state_dict(), trained[1])
    return path


def test_tensors_and_description_are_read_as_they_were_written(tmp_path: Path) -> None:
    description = {"seed": 3, "text": "é “quoted” \n", "none": None, "list": [1, 2.5]}
    checkpoint.write(tmp_path / "x", TENSORS, description)
    tensors, found = checkpoint.read(tmp_path / "x")
    assert found == description
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "one", TENSORS, {"a": 1, "b": 2})
    turned = {
        name: tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in TENSORS.items()
    }
    checkpoint.write(tmp_path / "other", dict(reversed(turned.items())), {"b": 2, "a": 1})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_checkpoint_is_a_safetensors_file_that_anybody_can_read(tmp_path: Path) -> None:
    checkpoint.write(tmp_path / "x", TENSORS, {})
    assert torch.equal(safetensors.torch.load_file(tmp_path / "x")["a"], TENSORS["a"])


def test_a_classifier_that_is_read_back_gives_equal_outputs_in_evaluation_mode(
    tmp_path: Path, trained: tuple[TorchClassifier, Checkpoint]
) -> None:
    classifier, description = trained
    found, beside = checkpoint.load_classifier(save(tmp_path / "x", trained))
    given = images(9)
    assert not any(module.training for module in found.modules())
    assert beside == description
    for one, other in zip(found(given), classifier.eval()(given), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)  # its weights lie otherwise in memory


def test_a_classifiers_weights_and_preprocessing_are_read_back_exactly(
    tmp_path: Path, trained: tuple[TorchClassifier, Checkpoint]
) -> None:
    found, _ = checkpoint.load_classifier(save(tmp_path / "x", trained))
    for name, tensor in trained[0].state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)


@pytest.mark.parametrize("last_relu", [True, False])
def test_whether_there_is_a_last_relu_is_read_back(
    tmp_path: Path, trained: tuple[TorchClassifier, Checkpoint], last_relu: bool
) -> None:
    classifier, description = trained
    recipe = replace(description.recipe, network=replace(description.recipe.network, last_relu=last_relu))
    found, _ = checkpoint.load_classifier(save(tmp_path / "x", (classifier, replace(description, recipe=recipe))))
    given = images(9)
    assert (found(given).class_maps < 0).any() != last_relu


def without_header(path: Path) -> None:
    safetensors.torch.save_file(TENSORS, path)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def headless(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5])


def foreign(path: Path) -> None:
    path.write_bytes(b"\x80\x04pickle" * 100)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def not_json(path: Path) -> None:
    path.write_bytes(safetensors.torch.save(TENSORS, metadata={"nin_onnx": "{"}))


@pytest.mark.parametrize("spoil", [without_header, truncated, headless, foreign, empty, not_json, Path.unlink])
def test_a_file_that_is_no_checkpoint_is_named(
    tmp_path: Path, trained: tuple[TorchClassifier, Checkpoint], spoil: Callable[[Path], None]
) -> None:
    path = save(tmp_path / "model.safetensors", trained)
    spoil(path)
    with pytest.raises(
        RunError, match=r"^'.*model.safetensors' is not a nin-onnx checkpoint \(.+\): train again, or give another run$"
    ):
        checkpoint.load_classifier(path)


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not a nin-onnx checkpoint"):
        checkpoint.read(tmp_path)


def _missing_weight(description: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    del tensors["network.conv1.weight"]


def _another_shape(description: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    tensors["network.conv1.weight"] = torch.zeros(3)


def _another_architecture(description: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    description["recipe"]["network"]["architecture"] = "nin-mnist"


def _unknown_architecture(description: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    description["recipe"]["network"]["architecture"] = "resnet"


def _unknown_key(description: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    description["recipe"]["train"]["gradient_clipping"] = 2


def _no_recipe(description: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    del description["recipe"]


def _no_table(description: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    description["recipe"] = ["a", "list"]


def _no_labels(description: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    description["labels"] = None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_missing_weight, "Missing key"),
        (_another_shape, "size mismatch"),
        (_another_architecture, "size mismatch"),
        (_unknown_architecture, "unknown architecture 'resnet'"),
        (_unknown_key, "unknown key 'train.gradient_clipping'"),
        (_no_recipe, "recipe"),
        (_no_table, "list"),
        (_no_labels, "None"),
    ],
)
def test_a_checkpoint_that_this_version_cannot_use_is_named_with_the_reason_in_one_line(
    tmp_path: Path,
    trained: tuple[TorchClassifier, Checkpoint],
    change: Callable[[dict[str, Any], dict[str, Tensor]], None],
    reason: str,
) -> None:
    path = save(tmp_path / "model.safetensors", trained)
    tensors, description = checkpoint.read(path)
    change(description, tensors)
    checkpoint.write(path, tensors, description)
    with pytest.raises(RunError, match=r"^'.*model.safetensors' cannot be used by this version") as raised:
        checkpoint.load_classifier(path)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value).removeprefix(f"'{path}'")) < 350


def test_a_checkpoint_whose_step_is_called_standardise_is_the_same_network(
    tmp_path: Path, trained: tuple[TorchClassifier, Checkpoint]
) -> None:
    path = save(tmp_path / "model.safetensors", trained)
    tensors, description = checkpoint.read(path)
    old = {name.replace("standardize", "standardise"): tensor for name, tensor in tensors.items()}
    assert old.keys() != tensors.keys()
    steps = [name.replace("standardize", "standardise") for name in description["recipe"]["preprocessing"]]
    checkpoint.write(path, old, {**description, "recipe": {**description["recipe"], "preprocessing": steps}})
    classifier, read = checkpoint.load_classifier(path)
    assert read == trained[1]
    weights = trained[0].state_dict()
    assert classifier.state_dict().keys() == weights.keys()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in classifier.state_dict().items())


def test_the_description_stands_in_the_header_as_json(tmp_path: Path, trained: tuple[TorchClassifier, Checkpoint]) -> None:
    path = save(tmp_path / "x", trained)
    with safetensors.safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["nin_onnx"])
    assert header["seed"] == 7
    assert header["labels"] == list("abcdefghij")
    assert header["recipe"]["network"]["architecture"] == "nin-digits"


def test_sha256_is_that_of_the_published_test_vector(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-4, appendix
    assert checkpoint.sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
