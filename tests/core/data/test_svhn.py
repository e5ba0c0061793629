"""SVHN's reader against MATLAB files made by hand and by SciPy, broken ones, and the paper's numbers."""

import hashlib
import struct
import sys
import tracemalloc
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.io import savemat

from nin_onnx.data import Split, svhn
from nin_onnx.data.remote import RemoteFile
from nin_onnx.data.svhn import PARTS, Part
from nin_onnx.errors import AbsentDataError, DataError, MissingExtraError

if TYPE_CHECKING:
    from tests.core.data.conftest import Server

NAMES = ("train_32x32.mat", "extra_32x32.mat", "test_32x32.mat")
Parts = Mapping[Split, tuple[Part, ...]]


def pixels(images: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (images, 32, 32, 3), np.uint8)


def save(path: Path, images: NDArray[Any], labels: NDArray[Any], **others: object) -> None:
    """A file as the official ones are: X [32, 32, 3, N] and y [N, 1], compressed."""
    savemat(path, {"X": images.transpose(1, 2, 3, 0), "y": labels[:, None], **others}, do_compression=True)


def part(path: Path, images: int, held_out: int = 0) -> Part:
    return Part(
        RemoteFile(path.name, f"http://nowhere/{path.name}", hashlib.md5(path.read_bytes()).hexdigest()), images, held_out
    )


def labels(images: int) -> NDArray[np.uint8]:
    """1 to 10, over and over."""
    return (np.arange(images) % 10 + 1).astype(np.uint8)


def write(folder: Path) -> Parts:
    """A made-up SVHN: 30 images of train, two of each class held out; 40 of extra, one of each; 5 of test."""
    home = folder / "svhn"
    home.mkdir()
    for seed, (name, images) in enumerate(zip(NAMES, (30, 40, 5), strict=True)):
        save(home / name, pixels(images, seed), labels(images))
    train, extra, test = (home / name for name in NAMES)
    return {"train": (part(train, 30, 2), part(extra, 40, 1)), "test": (part(test, 5),)}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "svhn").mkdir()
    return tmp_path / "svhn"


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return write(tmp_path)


def element(kind: int, content: bytes) -> bytes:
    """A data element, as MATLAB's "MAT-File Format" has it: type, number of bytes, the bytes, zeros up to a multiple of 8."""
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def variable(name: str, shape: tuple[int, ...], content: bytes, array_class: int = 9) -> bytes:
    """An array of bytes (class 9, in elements of type 2), column by column."""
    flags, sizes = struct.pack("<II", array_class, 0), struct.pack(f"<{len(shape)}i", *shape)
    return element(14, element(6, flags) + element(5, sizes) + element(1, name.encode()) + element(2, content))


def by_hand(*variables: bytes, compressed: bool = False) -> bytes:
    """Header, version 0x0100, the byte order's mark, and the variables, each in a zlib stream of its own or plain."""
    packed = b""
    for content in variables:
        stream = zlib.compress(content)
        packed += struct.pack("<II", 15, len(stream)) + stream if compressed else content
    return b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + struct.pack("<H", 0x0100) + b"IM" + packed


@pytest.mark.parametrize("compressed", [False, True])
def test_pixels_of_a_file_made_by_hand_come_row_by_row_and_channels_last(tmp_path: Path, compressed: bool) -> None:
    planes = bytearray(3072)
    planes[1] = 66  # red, column 0, row 1: MATLAB's first index runs fastest
    planes[32 * 5 + 7] = 77  # red, column 5, row 7
    planes[1024 * 2 + 32 * 30 + 1] = 88  # blue, column 30, row 1
    (tmp_path / "svhn").mkdir()
    path = tmp_path / "svhn" / "test_32x32.mat"
    content = bytes(3072) + bytes(planes)
    path.write_bytes(
        by_hand(variable("X", (32, 32, 3, 2), content), variable("y", (2, 1), bytes([10, 4])), compressed=compressed)
    )
    test = svhn.load("test", tmp_path, {"test": (part(path, 2),)})
    assert not test.images[0].any()
    found = {tuple(at): int(test.images[1][tuple(at)]) for at in np.argwhere(test.images[1]).tolist()}
    assert found == {(1, 0, 0): 66, (7, 5, 0): 77, (1, 30, 2): 88}
    assert test.labels.tolist() == [0, 4]  # 10 is the digit 0
    assert test.official


def test_images_and_labels_of_the_test_set_keep_their_order(tmp_path: Path, parts: Parts) -> None:
    test = svhn.load("test", tmp_path, parts)
    assert np.array_equal(test.images, pixels(5, seed=2))
    assert test.labels.tolist() == [1, 2, 3, 4, 5]
    assert test.labels.dtype == np.int64
    assert (test.classes, test.held_out) == (tuple("0123456789"), 0)


def test_the_last_of_each_class_end_the_training_set_those_of_train_before_those_of_extra(tmp_path: Path, parts: Parts) -> None:
    train = svhn.load("train", tmp_path, parts)
    first, second = pixels(30, seed=0), pixels(40, seed=1)
    assert train.held_out == 2 * 10 + 1 * 10
    assert np.array_equal(train.images, np.concatenate([first[:10], second[:30], first[10:], second[30:]]))
    assert train.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0] * 7
    assert train.images.flags.c_contiguous
    assert train.images.flags.writeable


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(0, 2))
def test_what_is_held_out_is_the_last_of_each_class(order: list[int], count: int) -> None:
    digits = [*range(10), *order, *range(10)]
    chosen = svhn.last_of_each_class(np.array(digits), count, Path("a.mat"))
    left = dict.fromkeys(range(10), count)
    for at in reversed(range(len(digits))):
        assert chosen[at] == (left[digits[at]] > 0)
        left[digits[at]] -= chosen[at]


def test_the_split_is_that_of_the_paper() -> None:
    train, extra = PARTS["train"]
    (test,) = PARTS["test"]
    assert (train.held_out, extra.held_out) == (400, 200)  # §4.4: of each class
    held_out = 10 * (train.held_out + extra.held_out)
    assert (held_out, train.images + extra.images - held_out, test.images) == (6_000, 598_388, 26_032)


def test_the_files_are_the_official_ones() -> None:
    assert {part.file.url: (part.file.md5, part.images) for split in PARTS.values() for part in split} == {
        "http://ufldl.stanford.edu/housenumbers/train_32x32.mat": ("e26dedcc434d2e4c54c9b2d4a06d8373", 73_257),
        "http://ufldl.stanford.edu/housenumbers/extra_32x32.mat": ("a93ce644f1a588dc4d68dda5feec44a7", 531_131),
        "http://ufldl.stanford.edu/housenumbers/test_32x32.mat": ("eb5a983be6a315427106f1b164d9cef3", 26_032),
    }


def test_one_changed_pixel_and_a_file_is_not_read(tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svhn, "read_part", lambda *_: pytest.fail("read"))
    path = tmp_path / "svhn" / "extra_32x32.mat"
    changed = pixels(40, seed=1)
    changed[0, 0, 0, 0] ^= 1
    save(path, changed, labels(40))
    was, now = parts["train"][1].file.md5, hashlib.md5(path.read_bytes()).hexdigest()
    with pytest.raises(DataError) as caught:
        svhn.load("train", tmp_path, parts)
    assert str(caught.value) == (
        f"'{path}' is broken: expected the official file, md5 {was}, found md5 {now}: "
        f"delete it, then nin-onnx data svhn --data-dir {tmp_path}"
    )


def test_memory_holds_the_data_set_and_one_file_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "svhn").mkdir()
    first, second = tmp_path / "svhn" / NAMES[0], tmp_path / "svhn" / NAMES[1]
    save(first, pixels(1000), labels(1000))
    save(second, pixels(2000), labels(2000))
    svhn.load("train", tmp_path, {"train": (part(second, 2000),)})  # imports SciPy
    tracemalloc.start()
    train = svhn.load("train", tmp_path, {"train": (part(first, 1000, 4), part(second, 2000, 2))})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(train) == 3000
    assert peak < 3072 * (3000 + 2000 + 500)  # buffers take less than half of the smaller file


def spoilt(name: str, what: object) -> dict[str, Any]:
    return {"X": pixels(5).transpose(1, 2, 3, 0), "y": labels(5)[:, None]} | {name: what}


EXPECTED = "expected X uint8 (32, 32, 3, 5) and y double (5, 1), found "


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (spoilt("X", pixels(4).transpose(1, 2, 3, 0)), EXPECTED + "X uint8 (32, 32, 3, 4) and y uint8 (5, 1)"),
        (spoilt("X", pixels(5)), EXPECTED + "X uint8 (5, 32, 32, 3) and y uint8 (5, 1)"),
        (spoilt("X", pixels(5).transpose(1, 2, 3, 0) * 1.0), EXPECTED + "X double (32, 32, 3, 5) and y uint8 (5, 1)"),
        (spoilt("y", labels(4)[:, None]), EXPECTED + "X uint8 (32, 32, 3, 5) and y uint8 (4, 1)"),
        (spoilt("y", labels(5)[None]), EXPECTED + "X uint8 (32, 32, 3, 5) and y uint8 (1, 5)"),
        (spoilt("y", "1234567890"), EXPECTED + "X uint8 (32, 32, 3, 5) and y char (1,)"),
        (spoilt("y", {"a": 1}), EXPECTED + "X uint8 (32, 32, 3, 5) and y struct (1, 1)"),
        (spoilt("y", np.array([[{}]] * 5, object)), EXPECTED + "X uint8 (32, 32, 3, 5) and y cell (5, 1)"),
        ({"X": pixels(5).transpose(1, 2, 3, 0)}, EXPECTED + "X uint8 (32, 32, 3, 5)"),
        ({"other": labels(5)}, EXPECTED + "neither"),
        (spoilt("y", labels(5)[:, None] - 0.5), "expected labels 1 to 10, found [0.5, 1.5, 2.5, 3.5, 4.5]"),
        (spoilt("y", labels(5)[:, None] * np.array(np.nan)), "expected labels 1 to 10, found [nan]"),
        (spoilt("y", labels(5)[:, None] - 1), "expected labels 1 to 10, found [0]"),
        (spoilt("y", labels(5)[:, None] + 6), "expected labels 1 to 10, found [11]"),
    ],
)
def test_a_file_of_something_else_is_named_with_what_was_expected_and_found(
    home: Path, table: dict[str, Any], message: str
) -> None:
    path = home / "test_32x32.mat"
    savemat(path, table, do_compression=True)
    with pytest.raises(DataError) as caught:
        svhn.read_part(part(path, 5), path)
    assert str(caught.value) == f"'{path}' is broken: {message}: delete it, then nin-onnx data svhn --data-dir {home.parent}"


@pytest.mark.parametrize(("array_class", "name"), [(1, "cell"), (2, "struct"), (3, "object"), (16, "function")])
@pytest.mark.parametrize("target", ["X", "y"])
def test_objects_and_functions_are_refused_undecoded(
    home: Path, array_class: int, name: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scipy.io.loadmat", lambda *_, **__: pytest.fail("decoded"))
    content = [
        variable(key, shape, bytes(size), array_class if key == target else 9)
        for key, shape, size in (("X", (32, 32, 3, 5), 3072 * 5), ("y", (5, 1), 5))
    ]
    path = home / "test_32x32.mat"
    path.write_bytes(by_hand(*content))
    with pytest.raises(DataError, match=rf"is broken: expected .* found .*{target} {name} "):
        svhn.read_part(part(path, 5), path)


def test_other_variables_are_left_undecoded(home: Path) -> None:
    path = home / "test_32x32.mat"
    odd = variable("odd", (1, 1), b"?", array_class=3)  # an object without its class and fields: it cannot be decoded
    images = pixels(5)
    content = images.transpose(0, 3, 2, 1).tobytes()
    path.write_bytes(by_hand(odd, variable("X", (32, 32, 3, 5), content), variable("y", (5, 1), bytes(labels(5)))))
    assert np.array_equal(svhn.read_part(part(path, 5), path)[0], images)


def test_labels_in_doubles_as_in_the_official_files_are_whole_numbers(home: Path) -> None:
    path = home / "test_32x32.mat"
    for numbers in (labels(12) * 1.0, labels(12)):
        save(path, pixels(12), numbers)
        digits = svhn.read_part(part(path, 12), path)[1]
        assert digits.dtype == np.int64
        assert digits.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]


@given(file=st.sampled_from(NAMES), at=st.integers(0, 150_000), cut=st.integers(0, 3), new=st.binary(max_size=3))
def test_a_spoilt_copy_is_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, file: str, at: int, cut: int, new: bytes
) -> None:
    folder = tmp_path_factory.mktemp("spoilt")
    parts = write(folder)
    path = folder / "svhn" / file
    content = path.read_bytes()
    at %= len(content)
    path.write_bytes(content[:at] + new + content[at + cut :])
    split: Split = "test" if file == "test_32x32.mat" else "train"
    if path.read_bytes() == content:
        assert svhn.load(split, folder, parts).official
    else:
        with pytest.raises(DataError, match="is broken: expected the official file, md5 "):
            svhn.load(split, folder, parts)


def test_too_few_images_of_a_class_for_validation_are_named(tmp_path: Path, parts: Parts) -> None:
    train = replace(parts["train"][0], held_out=4)
    with pytest.raises(
        DataError, match=r"train_32x32.mat' is broken: expected 4 images or more of each class, found 3 of '0': delete"
    ):
        svhn.load("train", tmp_path, {"train": (train,)})


def test_an_absent_file_is_said_before_the_others_are_read(tmp_path: Path, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svhn, "read_part", lambda *_: pytest.fail("read"))
    (tmp_path / "svhn" / "extra_32x32.mat").unlink()
    with pytest.raises(AbsentDataError, match=rf"^data set 'svhn' is not in '{tmp_path}' \(no 'svhn/extra_32x32.mat'\)"):
        svhn.load("train", tmp_path, parts)


def test_a_missing_scipy_is_named_before_anything_is_downloaded(
    tmp_path: Path, parts: Parts, server: "Server", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    for use in (lambda: svhn.load("test", tmp_path, parts), lambda: svhn.download(tmp_path, parts)):
        with pytest.raises(MissingExtraError, match=r"^the data set 'svhn' needs .*'scipy': pip install 'nin-onnx\[svhn\]'$"):
            use()
    assert server.requests == []


def test_a_download_fetches_what_is_absent_and_nothing_else(tmp_path: Path, parts: Parts, server: "Server") -> None:
    home = tmp_path / "svhn"
    whole = {path.name: path.read_bytes() for path in home.iterdir()}
    server.files = dict(whole)
    (home / "extra_32x32.mat").unlink()
    there: dict[Split, tuple[Part, ...]] = {
        split: tuple(replace(one, file=replace(one.file, url=server.url(one.file.name))) for one in row)
        for split, row in parts.items()
    }
    assert svhn.download(tmp_path, there) == home
    assert server.requests == ["extra_32x32.mat"]
    assert {path.name: path.read_bytes() for path in home.iterdir()} == whole
