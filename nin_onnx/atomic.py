"""Files and folders that are either whole or absent: written beside their final name, flushed to the disk, then moved."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nin_onnx.errors import NinOnnxError

__all__ = ["whole_folder", "write_bytes", "write_json", "write_text"]


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`; on any failure what was there before stays, and nothing half-written is left."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner may read
        temporary.replace(path)
        _flush(path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """`write_bytes` for text, as UTF-8."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> bool:
    """Write `content` as indented JSON, unless that is what `path` holds already; return whether it was written."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    if path.is_file() and path.read_text(encoding="utf-8", errors="replace") == text:
        return False
    write_text(path, text)
    return True


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder beside `target` to fill: it takes the place of `target` when the block ends, and vanishes if it raises."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        parent = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        staging = parent / "new"
        staging.mkdir()
        yield staging
        for path in (*staging.rglob("*"), staging):
            _flush(path)
        if target.exists():
            target.rename(parent / "old")
        staging.rename(target)
        _flush(target.parent)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        if (parent / "old").exists() and not target.exists():
            (parent / "old").rename(target)
        shutil.rmtree(parent, ignore_errors=True)


def _unwritable(path: Path, error: OSError) -> NinOnnxError:
    return NinOnnxError(f"cannot write '{path}' ({error.strerror or error}): free some space or choose another folder with --out")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _flush(path: Path) -> None:
    """Wait until `path`, a file or a folder, is on the disk."""
    if os.name == "nt":  # Windows opens no folder, and flushes only what is open for writing
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
