"""Golden vectors: the images that are tried, and the files, read back with ONNX's own tools."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import numpy_helper

from nin_onnx.errors import ModelError
from nin_onnx.golden import FOLDER, Golden, golden_images, read_golden, write_golden


def small() -> Golden:
    """Golden vectors of two images, two by three pixels, and two classes."""
    return Golden(
        np.arange(12, dtype=np.uint8).reshape(2, 2, 3, 1),
        {
            "logits": np.array([[0.1, -np.inf], [3e-45, np.nan]], np.float32),  # what a text format or a sum would lose
            "probabilities": np.array([[1, 0], [0.25, 0.75]], np.float32),
        },
    )


def test_the_files_are_what_onnx_tools_read(tmp_path: Path) -> None:
    golden = small()
    write_golden(tmp_path, golden)
    files = {path.name: onnx.load_tensor(str(path)) for path in (tmp_path / FOLDER).iterdir()}
    assert {file: tensor.name for file, tensor in files.items()} == {
        "input_0.pb": "images",
        "output_0.pb": "logits",
        "output_1.pb": "probabilities",
    }
    for tensor in files.values():
        written = golden.images if tensor.name == "images" else golden.outputs[tensor.name]
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), written, strict=True)


def test_vectors_come_back_with_the_hash_that_they_went_with(tmp_path: Path) -> None:
    golden = small()
    write_golden(tmp_path, golden)
    again = read_golden(tmp_path)
    assert again is not None
    assert again.hash == golden.hash
    np.testing.assert_array_equal(again.images, golden.images, strict=True)
    assert list(again.outputs) == ["logits", "probabilities"]
    for name, array in golden.outputs.items():
        np.testing.assert_array_equal(again.outputs[name], array, strict=True)


def test_more_than_ten_outputs_keep_their_order(tmp_path: Path) -> None:
    outputs = {"logits": np.zeros((1, 2), np.float32)} | {f"extra{i}": np.full(1, i, np.float32) for i in range(11)}
    write_golden(tmp_path, Golden(np.zeros((1, 2, 2, 1), np.uint8), outputs))
    again = read_golden(tmp_path)
    assert again is not None
    assert list(again.outputs) == list(outputs)


@given(st.sampled_from(["images", "logits", "probabilities"]), st.integers(0, 3))
def test_a_single_changed_value_changes_the_hash(name: str, place: int) -> None:
    golden, other = small(), small()
    changed = other.images if name == "images" else other.outputs[name]
    changed.flat[place] = 42
    assert other.hash != golden.hash


def test_names_shapes_and_types_are_part_of_the_hash() -> None:
    images: NDArray[np.uint8] = np.zeros((1, 2, 2, 1), np.uint8)
    logits: NDArray[Any] = np.zeros((1, 4), np.float32)  # as bytes the same in every variant
    variants = [
        Golden(images, {"logits": logits}),
        Golden(images, {"scores": logits}),
        Golden(images, {"logits": logits.reshape(4, 1)}),
        Golden(images, {"logits": logits.view(np.int32)}),
        Golden(images, {"logits": logits, "more": logits}),
        Golden(images.reshape(1, 4, 1, 1), {"logits": logits}),
    ]
    assert len({golden.hash for golden in variants}) == len(variants)


def test_where_there_are_no_vectors_none_are_read(tmp_path: Path) -> None:
    assert read_golden(tmp_path) is None


@pytest.mark.parametrize("file", ["input_0.pb", "output_0.pb", "output_1.pb"])
def test_a_file_cut_anywhere_is_named_in_the_error(file: str, tmp_path: Path) -> None:
    write_golden(tmp_path, small())
    path = tmp_path / FOLDER / file
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"export the model again$") as caught:
            read_golden(tmp_path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_vectors_without_logits_are_an_error_that_says_what_is_there(tmp_path: Path) -> None:
    write_golden(tmp_path, small())
    (tmp_path / FOLDER / "output_0.pb").unlink()
    with pytest.raises(
        ModelError, match=r"should hold 'images' and 'logits', it holds \['probabilities'\]: export the model again"
    ):
        read_golden(tmp_path)


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (7, 5, 3)])
def test_the_images_are_noise_black_white_grays_and_saturated_ones(shape: tuple[int, int, int]) -> None:
    images = golden_images(*shape)
    assert (images.dtype, images.shape) == (np.dtype(np.uint8), (12, *shape))
    noise, constant, saturated = images[:4], images[4:9], images[9:]
    assert all(len(np.unique(image)) > min(image.size, 256) / 2 for image in noise)
    assert [np.unique(image).tolist() for image in constant] == [[0], [255], [1], [127], [254]]
    assert [np.unique(image).tolist() for image in saturated] == [[0, 255]] * 3
    assert len({image.tobytes() for image in images}) == len(images)


def test_the_checkerboard_changes_from_each_pixel_to_the_next() -> None:
    board = golden_images(6, 8, 3)[-2].astype(int)
    assert (abs(np.diff(board, axis=0)) == 255).all()
    assert (abs(np.diff(board, axis=1)) == 255).all()


def test_the_images_are_the_same_each_time() -> None:
    np.testing.assert_array_equal(golden_images(28, 28, 1), golden_images(28, 28, 1))
