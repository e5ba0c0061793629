"""Files and folders that are whole or absent, whatever fails on the way."""

import errno
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from nin_onnx import atomic
from nin_onnx.errors import NinOnnxError


def no_space(*arguments: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def tree(folder: Path) -> dict[str, str]:
    """Every file below `folder`, hidden ones too, with its text; a folder as an empty entry with a slash."""
    return {
        f"{path.relative_to(folder)}{'/' if path.is_dir() else ''}": "" if path.is_dir() else path.read_text()
        for path in folder.rglob("*")
    }


def failing(place: str, when: int = 1) -> Callable[[pytest.MonkeyPatch], None]:
    """Let the `when`-th call of a function of `os` or of a method of Path fail for lack of space."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        owner, name = (os, "fsync") if place == "fsync" else (Path, place)
        original = getattr(owner, name)
        calls = []

        def sometimes(*arguments: object, **options: object) -> object:
            calls.append(arguments)
            if len(calls) == when:
                no_space()
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, sometimes)

    return patch


def test_a_file_holds_what_was_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    atomic.write_bytes(tmp_path / "deep" / "er" / "file", bytes(range(256)))
    assert (tmp_path / "deep" / "er" / "file").read_bytes() == bytes(range(256))
    assert [path.name for path in tmp_path.rglob("*")] == ["deep", "er", "file"]


def test_a_file_is_replaced(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "file", "old")
    atomic.write_text(tmp_path / "file", "new")
    assert tree(tmp_path) == {"file": "new"}


def test_text_is_utf8_with_its_line_ends_as_they_are(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "file", "é\n×\r\n")
    assert (tmp_path / "file").read_bytes() == b"\xc3\xa9\n\xc3\x97\r\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_permissions_are_those_of_any_new_file_or_folder(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        atomic.write_text(tmp_path / "file", "x")
        with atomic.whole_folder(tmp_path / "folder"):
            pass
        assert os.umask(mask) == mask  # it is as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o777 & ~mask


@pytest.mark.parametrize("place", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("before", [{}, {"file": "old"}])
def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, before: dict[str, str]
) -> None:
    for name, text in before.items():
        (tmp_path / name).write_text(text)
    failing(place)(monkeypatch)
    with pytest.raises(NinOnnxError, match=r"^cannot write '.*file' \(No space left on device\): free some space or choose "):
        atomic.write_text(tmp_path / "file", "new")
    assert tree(tmp_path) == before


def test_a_write_that_is_interrupted_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("old")

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        atomic.write_text(tmp_path / "file", "new")
    assert tree(tmp_path) == {"file": "old"}


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("old")
    flush, seen = os.fsync, []

    def watched(descriptor: int) -> None:
        seen.append(((tmp_path / "file").read_text(), stat.S_ISDIR(os.fstat(descriptor).st_mode)))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    atomic.write_text(tmp_path / "file", "new")
    assert seen[0] == ("old", False)
    if os.name != "nt":
        assert seen[1:] == [("new", True)]  # then the folder, so that the name lasts too


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(NinOnnxError, match=r"^cannot write '.*below' \((Not a directory|File exists)\): "):
        atomic.write_text(tmp_path / "file" / "below", "x")
    with (
        pytest.raises(NinOnnxError, match=r"^cannot write '.*below' \((Not a directory|File exists)\): "),
        atomic.whole_folder(tmp_path / "file" / "below"),
    ):
        pass
    assert tree(tmp_path) == {"file": "kept"}


def fill(target: Path) -> None:
    with atomic.whole_folder(target) as staging:
        (staging / "sub").mkdir()
        (staging / "sub" / "new").write_text("new")


def test_a_folder_has_its_name_only_when_it_is_filled(tmp_path: Path) -> None:
    with atomic.whole_folder(tmp_path / "deep" / "target") as staging:
        (staging / "new").write_text("new")
        assert not (tmp_path / "deep" / "target").exists()
    assert tree(tmp_path / "deep") == {"target/": "", "target/new": "new"}


def test_a_folder_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").write_text("old")
    fill(tmp_path / "target")
    assert tree(tmp_path) == {"target/": "", "target/sub/": "", "target/sub/new": "new"}


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_a_block_that_raises_leaves_the_earlier_folder_and_its_own_error(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").write_text("old")

    def raising() -> None:
        with atomic.whole_folder(tmp_path / "target") as staging:
            (staging / "half").write_text("half")
            raise error

    with pytest.raises(type(error)) as raised:
        raising()
    assert raised.value is error
    assert tree(tmp_path) == {"target/": "", "target/old": "old"}


@pytest.mark.parametrize(
    "fail",
    [failing("fsync"), failing("rename", 1), failing("rename", 2), failing("write_text"), failing("mkdir", 3)],
    ids=["flush", "moving the old away", "moving the new in", "writing", "making a folder"],
)
def test_a_folder_that_cannot_be_finished_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: Callable[[pytest.MonkeyPatch], None]
) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "old").write_text("old")
    with monkeypatch.context() as patch:
        fail(patch)
        with pytest.raises(NinOnnxError, match=r"^cannot write '.*target' \(No space left on device\): free some space or "):
            fill(tmp_path / "target")
    assert tree(tmp_path) == {"target/": "", "target/old": "old"}


def test_a_folder_that_cannot_be_finished_leaves_nothing_where_nothing_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing("rename")(patch)
        with pytest.raises(NinOnnxError, match="No space left"):
            fill(tmp_path / "target")
    assert tree(tmp_path) == {}


def test_json_is_written_only_if_it_differs_from_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    assert atomic.write_json(path, {"é": [1, None]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"é": [1, None]}
    before = path.stat().st_ino
    assert not atomic.write_json(path, {"é": [1, None]})
    assert path.stat().st_ino == before
    assert atomic.write_json(path, {"é": [2, None]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"é": [2, None]}
