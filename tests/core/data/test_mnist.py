"""MNIST's reader against hand-made IDX files, broken ones, and the real ones."""

import contextlib
import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from nin_onnx.data import Split, load, mnist
from nin_onnx.data.files import read
from nin_onnx.data.remote import RemoteFile
from nin_onnx.errors import DataError

if TYPE_CHECKING:
    from tests.core.data.conftest import Server

PATH = Path("data", "mnist", "train-images-idx3-ubyte")


def idx(array: NDArray[np.uint8]) -> bytes:
    """The format as its specification draws it: two zero bytes, 8 for bytes, the number of dimensions, sizes, values."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(struct.pack(">I", size) for size in array.shape) + array.tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
LABELS = np.array([3, 1, 4, 1, 9], np.uint8)


FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def write(folder: Path) -> Path:
    """A made-up MNIST: five images for training, in raw files, and two for the test, in gzipped ones."""
    home = folder / "mnist"
    home.mkdir()
    (home / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (home / "train-labels-idx1-ubyte").write_bytes(idx(LABELS))
    (home / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES[:2])))
    (home / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS[:2])))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path)


def test_raw_files_are_read(folder: Path) -> None:
    train = mnist.load("train", folder)
    assert np.array_equal(train.images, IMAGES.reshape(5, 28, 28, 1))
    assert train.labels.tolist() == [3, 1, 4, 1, 9]
    assert train.labels.dtype == np.int64
    assert train.classes == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    assert train.images.flags.writeable


def test_gzipped_files_are_read(folder: Path) -> None:
    test = mnist.load("test", folder)
    assert np.array_equal(test.images[..., 0], IMAGES[:2])
    assert test.labels.tolist() == [3, 1]


def test_made_up_files_are_an_unofficial_copy(folder: Path) -> None:
    assert not mnist.load("train", folder).official


def spoil(change: Callable[[bytes], bytes], path: Path) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("train-images-idx3-ubyte", lambda b: b[:1000], "expected 3936 bytes by its header, found 1000"),
        ("train-images-idx3-ubyte", lambda b: b + b"!", "expected 3936 bytes by its header, found 3937"),
        ("train-images-idx3-ubyte", lambda b: b[:15], "expected a header of 16 bytes, found 15 bytes"),
        ("train-images-idx3-ubyte", lambda b: b"", "expected a header of 16 bytes, found 0 bytes"),
        ("train-images-idx3-ubyte", lambda b: idx(LABELS) + b"." * 8, "expected magic number 2051, found 2049"),
        ("train-labels-idx1-ubyte", lambda b: idx(IMAGES), "expected magic number 2049, found 2051"),
        ("train-images-idx3-ubyte", lambda b: idx(IMAGES[:0]), "expected sizes above 0 in its header, found [0, 28, 28]"),
        (
            "train-images-idx3-ubyte",
            lambda b: b[:4] + b"\xff" * 8 + b"\0" * 4,
            "expected sizes above 0 in its header, found [4294967295, 4294967295, 0]",
        ),
        ("train-images-idx3-ubyte", lambda b: idx(IMAGES[:, :, :9]), "expected images of 28×28 pixels, found 28×9"),
        ("train-labels-idx1-ubyte", lambda b: idx(LABELS[:4]), "expected 5 labels, one for each image, found 4"),
        ("train-labels-idx1-ubyte", lambda b: b[:-1] + b"\x0a", "expected labels 0 to 9, found label 10"),
    ],
)
def test_a_broken_file_is_named_with_what_was_expected_and_found(
    folder: Path, file: str, change: Callable[[bytes], bytes], message: str
) -> None:
    path = folder / "mnist" / file
    spoil(change, path)
    with pytest.raises(DataError) as caught:
        mnist.load("train", folder)
    assert str(caught.value) == (f"'{path}' is broken: {message}: delete it, then nin-onnx data mnist --data-dir {folder}")


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b[:-9],
        lambda b: b[:5],
        lambda b: b"not gzip at all",
        lambda b: b[:20] + bytes([b[20] ^ 255]) + b[21:],
        lambda b: b[:-6] + bytes([b[-6] ^ 1]) + b[-5:],  # in the checksum
    ],
    ids=["truncated", "header only", "another format", "tampered", "wrong checksum"],
)
def test_a_broken_gzip_file_is_named(folder: Path, change: Callable[[bytes], bytes]) -> None:
    path = folder / "mnist" / "t10k-images-idx3-ubyte.gz"
    spoil(change, path)
    with pytest.raises(DataError) as caught:
        mnist.load("test", folder)
    assert str(caught.value).startswith(f"'{path}' is broken: expected a whole gzip file, found '")


def test_a_wrong_content_in_a_gzip_file_is_laid_at_the_gzip_files_door(folder: Path) -> None:
    path = folder / "mnist" / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(LABELS)))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz' is broken: expected 2 labels"):
        mnist.load("test", folder)


@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=3, max_side=8)))
def test_idx_bytes_give_back_their_array(array: NDArray[np.uint8]) -> None:
    assert np.array_equal(mnist.parse_idx(idx(array), PATH, array.ndim), array)


@given(st.binary(max_size=64), st.sampled_from([1, 3]))
def test_any_bytes_are_idx_or_an_error_of_ours(content: bytes, dimensions: int) -> None:
    try:
        array = mnist.parse_idx(content, PATH, dimensions)
    except DataError as error:
        assert f"'{PATH}'" in str(error)
    else:
        assert idx(array) == content


@given(file=st.sampled_from(FILES), at=st.integers(0, 4000), cut=st.integers(0, 3), new=st.binary(max_size=3))
def test_a_spoilt_copy_is_unofficial_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, file: str, at: int, cut: int, new: bytes
) -> None:
    folder = write(tmp_path_factory.mktemp("spoilt"))
    path = next((folder / "mnist").glob(f"{file}*"))
    content = path.read_bytes()
    at %= len(content)
    path.write_bytes(content[:at] + new + content[at + cut :])
    for split in get_args(Split):
        with contextlib.suppress(DataError):
            assert not mnist.load(split, folder).official


def test_a_download_fetches_what_is_absent_and_nothing_else(
    server: "Server", folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files = {f"{name}.gz": gzip.compress(b"from the server") for name in FILES}
    table = [RemoteFile(name, server.url(name), hashlib.md5(content).hexdigest()) for name, content in server.files.items()]
    monkeypatch.setattr(mnist, "REMOTE", table)
    absent = folder / "mnist" / "train-labels-idx1-ubyte"
    absent.unlink()
    before = {path: path.read_bytes() for path in (folder / "mnist").iterdir()}
    assert mnist.download(folder) == folder / "mnist"
    assert server.requests == ["train-labels-idx1-ubyte.gz"]
    new = {absent.with_name("train-labels-idx1-ubyte.gz"): server.files["train-labels-idx1-ubyte.gz"]}
    assert {path: path.read_bytes() for path in (folder / "mnist").iterdir()} == before | new


def test_the_table_of_downloads_names_the_four_files_over_https() -> None:
    assert [file.name for file in mnist.REMOTE] == [f"{name}.gz" for name in FILES]
    assert all(file.url.startswith("https://") and file.url.endswith(f"/{file.name}") for file in mnist.REMOTE)


def test_the_real_files_are_official(data_dir: Path) -> None:
    train, test = load("mnist", "train", data_dir), load("mnist", "test", data_dir)
    assert (train.official, test.official) == (True, True)
    assert (train.images.shape, test.images.shape) == ((60_000, 28, 28, 1), (10_000, 28, 28, 1))
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]  # the images that every tutorial shows
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert (train.images.mean() / 255, train.images.std() / 255) == pytest.approx((0.1307, 0.3081), abs=5e-5)


def test_one_changed_pixel_makes_the_real_files_unofficial(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        content = bytearray(read("mnist", data_dir / "mnist" / name))
        content[-1] ^= name.endswith("idx3-ubyte")
        (tmp_path / "mnist" / name).write_bytes(content)
    assert not mnist.load("test", tmp_path).official
