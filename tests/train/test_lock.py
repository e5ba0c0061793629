"""The lock of a folder: who is kept out, and what is left of it."""

import errno
import os
from pathlib import Path

import pytest
from filelock import FileLock

from nin_onnx.errors import NinOnnxError
from nin_onnx.train.lock import LOCK, is_locked, locked

BUSY = NinOnnxError("busy")


def test_a_folder_that_is_locked_keeps_others_out_until_it_is_released(tmp_path: Path) -> None:
    with locked(tmp_path / "folder", BUSY, remove=True):
        (tmp_path / "folder" / "file").touch()
        assert is_locked(tmp_path / "folder") is True
        with pytest.raises(NinOnnxError) as raised, locked(tmp_path / "folder", BUSY):
            pass
        assert raised.value is BUSY
    assert is_locked(tmp_path / "folder") is False
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["file"]


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path: Path) -> None:
    with locked(tmp_path / "runs" / "folder", BUSY, remove=True):
        pass
    assert [*tmp_path.iterdir()] == []


def test_a_lock_that_others_may_wait_for_keeps_its_file(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "folder", BUSY, timeout=5.0):
            file = (tmp_path / "folder" / LOCK).stat().st_ino
        assert (tmp_path / "folder" / LOCK).stat().st_ino == file


def test_the_lock_file_of_a_process_that_was_killed_locks_nothing(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    assert is_locked(tmp_path) is False
    with locked(tmp_path, BUSY):
        pass


def test_a_disk_without_locks_cannot_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    (tmp_path / LOCK).touch()
    monkeypatch.setattr(FileLock, "acquire", unsupported)
    assert is_locked(tmp_path) is None
