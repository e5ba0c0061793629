"""CIFAR's reader against hand-made records, broken ones, made-up archives, and the real files."""

import contextlib
import hashlib
import io
import tarfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nin_onnx.data import Split, UnofficialDataWarning, cifar, load
from nin_onnx.data.cifar import CIFAR10, CIFAR100, Batch, Release
from nin_onnx.data.remote import RemoteFile
from nin_onnx.errors import DataError

if TYPE_CHECKING:
    from tests.core.data.conftest import Server

HOME = "cifar-10-batches-bin"
NAMES = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n"  # the official file ends in a blank line


def record(label: int, image: NDArray[np.uint8]) -> bytes:
    """The format in its authors' words: the label, 1,024 bytes red, 1,024 green, 1,024 blue, each row by row."""
    return bytes([label]) + image[:, :, 0].tobytes() + image[:, :, 1].tobytes() + image[:, :, 2].tobytes()


IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
LABELS = [6, 9, 0, 4, 1]
RECORDS = [record(label, image) for label, image in zip(LABELS, IMAGES, strict=True)]
FILES = {
    "batches.meta.txt": NAMES.encode(),
    "data_batch_1.bin": RECORDS[0] + RECORDS[1],
    "data_batch_2.bin": RECORDS[2] + RECORDS[3],
    "test_batch.bin": RECORDS[4],
}


def batch(name: str, records: int) -> Batch:
    return Batch(name, records, hashlib.sha1(FILES[name]).hexdigest())


SMALL = replace(
    CIFAR10,
    batches={"train": (batch("data_batch_1.bin", 2), batch("data_batch_2.bin", 2)), "test": (batch("test_batch.bin", 1),)},
)
"""A release like CIFAR-10, of five images."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / HOME).mkdir()
    for name, content in FILES.items():
        (tmp_path / HOME / name).write_bytes(content)
    return tmp_path


def test_batches_are_read_in_order_and_pixels_lie_channels_last(folder: Path) -> None:
    train, test = SMALL.load("train", folder), SMALL.load("test", folder)
    assert np.array_equal(train.images, IMAGES[:4])
    assert np.array_equal(test.images, IMAGES[4:])
    assert train.labels.tolist() == [6, 9, 0, 4]
    assert train.labels.dtype == np.int64
    assert train.images.flags.c_contiguous
    assert train.images.flags.writeable


def test_cifar_100_has_the_coarse_label_and_then_the_fine_one_which_is_the_class(tmp_path: Path) -> None:
    home = tmp_path / "cifar-100-binary"
    home.mkdir()
    coarse = [19, 11, 0]
    content = [bytes([first]) + record(fine, image) for first, fine, image in zip(coarse, [99, 0, 42], IMAGES[:3], strict=True)]
    (home / "fine_label_names.txt").write_text("".join(f"class {label}\n" for label in range(100)))
    (home / "train.bin").write_bytes(b"".join(content))
    batches: dict[Split, tuple[Batch, ...]] = {"train": (Batch("train.bin", 3, hashlib.sha1(b"".join(content)).hexdigest()),)}
    train = replace(CIFAR100, batches=batches).load("train", tmp_path)
    assert train.labels.tolist() == [99, 0, 42]
    assert np.array_equal(train.images, IMAGES[:3])
    assert train.classes[42] == "class 42"
    assert not train.official  # the names are not the official ones


def test_a_cifar_100_file_is_held_to_its_length_and_its_hundred_classes() -> None:
    pixels = bytes(3072)
    with pytest.raises(DataError, match=r"expected labels 0 to 99, found label 100: delete it, then nin-onnx data cifar100"):
        cifar.parse_records(CIFAR100, 1, b"\x00\x64" + pixels, Path("a", "b", "train.bin"))
    with pytest.raises(DataError, match=r"expected 3074 bytes \(1 images\), found 3073"):
        cifar.parse_records(CIFAR100, 1, b"\x00" + pixels, Path("a", "b", "train.bin"))


def test_cifar_100_s_classes_are_a_hundred_in_the_alphabet_s_order() -> None:
    assert len(CIFAR100.classes) == 100
    assert list(CIFAR100.classes) == sorted(CIFAR100.classes)


def test_blank_lines_among_the_names_do_not_count(folder: Path) -> None:
    (folder / HOME / "batches.meta.txt").write_text("\n" + NAMES.replace("\n", "\r\n\r\n"), newline="")
    test = SMALL.load("test", folder)
    assert test.classes == ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    assert test.official


def test_files_with_the_official_checksums_are_official(folder: Path) -> None:
    assert SMALL.load("train", folder).official
    assert SMALL.load("test", folder).official


def test_one_changed_pixel_makes_its_split_unofficial_and_no_other(folder: Path) -> None:
    (folder / HOME / "data_batch_2.bin").write_bytes(RECORDS[2] + RECORDS[3][:-1] + bytes([RECORDS[3][-1] ^ 1]))
    assert not SMALL.load("train", folder).official
    assert SMALL.load("test", folder).official


def test_exchanged_names_make_a_copy_unofficial(folder: Path) -> None:
    (folder / HOME / "batches.meta.txt").write_text(NAMES.replace("cat", "?").replace("dog", "cat").replace("?", "dog"))
    test = SMALL.load("test", folder)
    assert not test.official
    assert test.classes[3] == "dog"


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("data_batch_2.bin", lambda b: b[:-1], "expected 6146 bytes (2 images), found 6145"),
        ("data_batch_2.bin", lambda b: b[:3073], "expected 6146 bytes (2 images), found 3073"),
        ("data_batch_2.bin", lambda b: b + b, "expected 6146 bytes (2 images), found 12292"),
        ("data_batch_2.bin", lambda b: b"", "expected 6146 bytes (2 images), found 0"),
        ("data_batch_2.bin", lambda b: b[:3073] + b"\x0a" + b[3074:], "expected labels 0 to 9, found label 10"),
        ("batches.meta.txt", lambda b: b"cat\ndog", "expected 10 different names, found ['cat', 'dog']"),
        ("batches.meta.txt", lambda b: b"cat\n" * 10, f"expected 10 different names, found {['cat'] * 10}"),
        ("batches.meta.txt", lambda b: b"\xff\xfe", "expected 10 different names, found ['\ufffd\ufffd']"),
    ],
)
def test_a_broken_file_is_named_with_what_was_expected_and_found(
    folder: Path, file: str, change: Callable[[bytes], bytes], message: str
) -> None:
    path = folder / HOME / file
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        SMALL.load("train", folder)
    assert str(caught.value) == f"'{path}' is broken: {message}: delete it, then nin-onnx data cifar10 --data-dir {folder}"


@given(
    st.sampled_from([CIFAR10, CIFAR100]),
    st.lists(st.tuples(st.integers(0, 9), st.binary(min_size=3072, max_size=3072)), min_size=1, max_size=3),
    st.integers(0, 19),
)
def test_records_give_back_their_images_and_labels(release: Release, records: list[tuple[int, bytes]], coarse: int) -> None:
    before = bytes([coarse]) if release is CIFAR100 else b""
    content = b"".join(before + bytes([label]) + planes for label, planes in records)
    planes, labels = cifar.parse_records(release, len(records), content, Path("a.bin"))
    assert labels.tolist() == [label for label, _ in records]
    assert [image.tobytes() for image in planes] == [planes for _, planes in records]


@given(file=st.sampled_from(list(FILES)), at=st.integers(0, 7000), cut=st.integers(0, 3), new=st.binary(max_size=3))
def test_a_spoilt_copy_is_sound_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, file: str, at: int, cut: int, new: bytes
) -> None:
    folder = tmp_path_factory.mktemp("spoilt")
    (folder / HOME).mkdir()
    at %= len(FILES[file])
    spoilt = FILES[file][:at] + new + FILES[file][at + cut :]
    for name, content in (FILES | {file: spoilt}).items():
        (folder / HOME / name).write_bytes(content)
    with contextlib.suppress(DataError):
        train = SMALL.load("train", folder)
        assert train.images.shape == (4, 32, 32, 3)
        assert max(train.labels) <= 9
        same_names = file == "batches.meta.txt" and list(train.classes) == NAMES.split()  # a blank more or less does not count
        assert train.official == (file == "test_batch.bin" or spoilt == FILES[file] or same_names)


def published(server: "Server", files: dict[str, bytes]) -> Release:
    """`SMALL`, as an archive of `files` that `server` gives out."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{HOME}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    server.files["small.tar.gz"] = packed.getvalue()
    md5 = hashlib.md5(packed.getvalue()).hexdigest()
    return replace(SMALL, archive=RemoteFile("small.tar.gz", server.url("small.tar.gz"), md5))


def test_a_download_leaves_the_official_files_and_nothing_else(server: "Server", tmp_path: Path) -> None:
    release = published(server, FILES | {"readme.html": b"not needed"})
    assert release.download(tmp_path) == tmp_path / HOME
    assert {path.name: path.read_bytes() for path in (tmp_path / HOME).iterdir()} == FILES
    assert [path.name for path in tmp_path.iterdir()] == [HOME]
    assert release.load("train", tmp_path).official


def test_a_download_where_all_files_are_asks_the_server_for_nothing(server: "Server", folder: Path) -> None:
    published(server, FILES).download(folder)
    assert server.requests == []


def test_a_download_replaces_a_deleted_file_and_keeps_the_others(server: "Server", folder: Path) -> None:
    (folder / HOME / "test_batch.bin").unlink()
    (folder / HOME / "data_batch_1.bin").write_bytes(RECORDS[0] * 2)
    published(server, FILES).download(folder)
    assert {path.name: path.read_bytes() for path in (folder / HOME).iterdir()} == FILES | {"data_batch_1.bin": RECORDS[0] * 2}


def test_a_tampered_archive_leaves_no_files(server: "Server", tmp_path: Path) -> None:
    release = published(server, FILES)
    published(server, FILES | {"test_batch.bin": RECORDS[3]})
    with pytest.raises(DataError, match="gave another file, and it was deleted"):
        release.download(tmp_path)
    assert list((tmp_path / HOME).iterdir()) == []


def test_the_real_copy_has_the_data_sets_known_statistics(data_dir: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train, test = load("cifar10", "train", data_dir), load("cifar10", "test", data_dir)
    assert [found.category for found in caught] == ([] if train.official and test.official else [UnofficialDataWarning])
    assert (train.images.shape, test.images.shape) == ((50_000, 32, 32, 3), (10_000, 32, 32, 3))
    assert np.bincount(train.labels).tolist() == [5_000] * 10
    assert np.bincount(test.labels).tolist() == [1_000] * 10
    for channel, (mean, std) in enumerate([(0.49140, 0.24703), (0.48216, 0.24348), (0.44653, 0.26159)]):
        plane = train.images[..., channel] / np.float32(255)
        assert (plane.mean(dtype=np.float64), plane.std(dtype=np.float64)) == pytest.approx((mean, std), abs=1e-5)
    assert [test.classes[label] for label in test.labels[:5]] == ["cat", "ship", "ship", "airplane", "frog"]


def test_the_real_cifar_100_is_official_and_has_its_known_statistics(data_dir: Path) -> None:
    train, test = load("cifar100", "train", data_dir), load("cifar100", "test", data_dir)
    assert (train.official, test.official) == (True, True)
    assert (train.images.shape, test.images.shape) == ((50_000, 32, 32, 3), (10_000, 32, 32, 3))
    assert np.bincount(train.labels).tolist() == [500] * 100
    assert np.bincount(test.labels).tolist() == [100] * 100
    for channel, (mean, std) in enumerate([(0.50708, 0.26733), (0.48655, 0.25644), (0.44092, 0.27615)]):
        plane = train.images[..., channel] / np.float32(255)
        assert (plane.mean(dtype=np.float64), plane.std(dtype=np.float64)) == pytest.approx((mean, std), abs=1e-5)
    assert [train.classes[label] for label in train.labels[:3]] == ["cattle", "dinosaur", "apple"]
