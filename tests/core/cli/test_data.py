"""Data that are truncated, tampered with or absent, and what `nin-onnx data` lists."""

import json
import re
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from nin_onnx.card import CARD_KEY

if TYPE_CHECKING:
    from tests.core.cli.conftest import Command


def write_idx(path: Path, values: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">{1 + values.ndim}I", 0x0800 + values.ndim, *values.shape) + values.astype(np.uint8).tobytes())


@pytest.fixture
def small_mnist(tmp_path: Path) -> Path:
    """A data folder with an MNIST that is sound and too small to be the official one."""
    random = np.random.default_rng(0)
    for prefix, count in (("train", 64), ("t10k", 16)):
        write_idx(tmp_path / "data" / "mnist" / f"{prefix}-images-idx3-ubyte", random.integers(0, 256, (count, 28, 28)))
        write_idx(tmp_path / "data" / "mnist" / f"{prefix}-labels-idx1-ubyte", np.arange(count) % 10)
    return tmp_path / "data"


@pytest.mark.parametrize(
    "arguments", [["train", "mnist", "--out", "run"], ["eval", "model", "--dataset", "mnist"]], ids=["train", "eval"]
)
def test_a_truncated_data_file_is_an_error_that_names_it(
    arguments: list[str], model: Path, small_mnist: Path, tmp_path: Path, command: "Command", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in (small_mnist / "mnist").glob("*images*"):
        file.write_bytes(file.read_bytes()[:-1])
    result = command(*arguments, "--data-dir", small_mnist)
    result.assert_error(2, f"'{small_mnist / 'mnist'}", "is broken", "nin-onnx data mnist")
    assert not Path("run").exists()


def test_a_tampered_data_file_that_is_sound_is_used_with_one_warning(
    small_mnist: Path, tmp_path: Path, command: "Command"
) -> None:
    settings = ["--set", "train.epochs=1", "--set", "train.batch_size=32", "--out", tmp_path / "run"]
    result = command("train", "mnist", *settings, "--data-dir", small_mnist)
    assert result.status == 0, result.err
    (line,) = result.err.splitlines()
    assert line.startswith("warning: data set 'mnist' in ")
    assert "unofficial copy" in line
    *_, verdict, following = result.out.splitlines()
    assert re.match(r"test error .* of 16 images of mnist \(unofficial copy\); 1 epochs", verdict)
    assert following == f"next: nin-onnx export {tmp_path / 'run'}"


def test_a_tampered_data_file_that_is_not_sound_is_an_error(small_mnist: Path, tmp_path: Path, command: "Command") -> None:
    write_idx(small_mnist / "mnist" / "train-labels-idx1-ubyte", np.full(64, 77))
    result = command("train", "mnist", "--out", tmp_path / "run", "--data-dir", small_mnist)
    result.assert_error(2, "train-labels-idx1-ubyte", "label 77")


def say_trained_on_mnist(model: Path) -> None:
    graph = onnx.load(model / "model.onnx")
    (card,) = (entry for entry in graph.metadata_props if entry.key == CARD_KEY)
    values = json.loads(card.value)
    values["dataset"]["name"] = "mnist"
    card.value = json.dumps(values)
    onnx.save(graph, model / "model.onnx")


def test_where_the_model_s_data_is_absent_the_golden_vectors_decide_and_the_download_is_named(
    model: Path, tmp_path: Path, command: "Command"
) -> None:
    say_trained_on_mnist(model)
    result = command("eval", model, "--runtime", "onnxruntime", "--data-dir", tmp_path / "empty")
    (line,) = result.err.splitlines()
    assert line.endswith(f"nin-onnx data mnist --data-dir {tmp_path / 'empty'}")
    assert "judged by the golden vectors alone" in result.out
    assert result.status == 0


def test_where_the_model_s_data_is_broken_it_is_an_error_and_not_absent(
    model: Path, small_mnist: Path, command: "Command"
) -> None:
    say_trained_on_mnist(model)
    labels = small_mnist / "mnist" / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1])
    result = command("eval", model, "--runtime", "onnxruntime", "--data-dir", small_mnist)
    result.assert_error(2, "t10k-labels-idx1-ubyte", "broken")


def test_data_sets_are_listed_as_they_are_and_fetched_by_name(small_mnist: Path, command: "Command") -> None:
    listed = command("data", "--data-dir", small_mnist)
    assert listed.status == 0
    mnist, cifar10, cifar100, svhn, digits = listed.out.splitlines()
    assert re.fullmatch(r"mnist +[0-9]+ train images, unofficial copy; [0-9]+ test images, unofficial copy", mnist)
    assert re.fullmatch(r"cifar10 +absent: nin-onnx data cifar10", cifar10)
    assert re.fullmatch(r"cifar100 +absent: nin-onnx data cifar100", cifar100)
    assert re.fullmatch(r"svhn +absent: nin-onnx data svhn", svhn)
    assert re.fullmatch(r"digits +1,437 train images, official; 360 test images, official", digits)
    fetched = command("data", "digits", "--json")
    assert (fetched.status, list(json.loads(fetched.out)["datasets"])) == (0, ["digits"])


def test_a_data_set_that_needs_a_package_is_listed_with_its_installation(
    tmp_path: Path, command: "Command", monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("scipy", "sklearn"):
        monkeypatch.setitem(sys.modules, package, None)
    listed = command("data", "--data-dir", tmp_path)
    assert listed.status == 0
    lines = listed.out.splitlines()
    assert lines[-2:] == [
        "svhn      the data set 'svhn' needs the package 'scipy': pip install 'nin-onnx[svhn]'",
        "digits    the data set 'digits' needs the package 'scikit-learn': pip install 'nin-onnx[demo]'",
    ]
