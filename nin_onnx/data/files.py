"""The files of a data set on this machine: where they lie, and what users are told of one that is absent or broken."""

import gzip
import hashlib
import os
import shlex
import warnings
import zlib
from functools import cache
from pathlib import Path

from nin_onnx.errors import AbsentDataError, DataError, UnofficialDataWarning

__all__ = [
    "absent",
    "broken",
    "checksum",
    "data_folder",
    "file_checksum",
    "locate",
    "read",
    "warn_unofficial",
]


def data_folder(data_dir: Path | None = None) -> Path:
    """Return where the data sets lie: `data_dir`, else what NIN_ONNX_DATA names, else in the platform's cache folder.

    Raises `AbsentDataError` if that cannot be found out.
    """
    if named := data_dir or os.environ.get("NIN_ONNX_DATA"):
        return Path(named).expanduser()
    try:
        import pooch
    except ImportError as error:
        raise AbsentDataError(
            "the default data folder needs the package 'pooch': pip install pooch, or set NIN_ONNX_DATA"
        ) from error
    return Path(pooch.os_cache("nin-onnx"))


def locate(path: Path) -> Path | None:
    """`path`, else the gzip file beside it, else None."""
    return next((file for file in (path, path.with_name(f"{path.name}.gz")) if file.exists()), None)


def read(name: str, path: Path) -> bytes:
    """What the file `path` of data set `name` holds, decompressed; raises `DataError`.

    Here and below, a data set's files lie in a folder of their own inside the data folder.
    """
    try:
        file = locate(path)
        if file is None:
            raise absent(name, path)
        content = file.read_bytes()
        return gzip.decompress(content) if file.suffix == ".gz" else content
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise broken(name, path, "a whole gzip file", f"'{error}'") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def file_checksum(name: str, path: Path, algorithm: str) -> str:
    """The checksum of the file `path` of data set `name`, of any size, in hexadecimal; raises `DataError`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    except FileNotFoundError as error:
        raise absent(name, path) from error
    except OSError as error:
        raise _unreadable(path, error) from error


def absent(name: str, path: Path) -> AbsentDataError:
    """The error for a data set whose file `path` is not there."""
    folder = path.parent.parent
    return AbsentDataError(f"data set '{name}' is not in '{folder}' (no '{path.relative_to(folder)}'): {_download(name, folder)}")


def broken(name: str, path: Path, expected: str, found: str) -> DataError:
    """The error for a file that is not what its format demands."""
    then = f"delete it, then {_download(name, path.parent.parent)}"
    return DataError(f"'{locate(path) or path}' is broken: expected {expected}, found {found}: {then}")


def _unreadable(path: Path, error: OSError) -> DataError:
    reason = f"'{error.filename or path}' cannot be read ({error.strerror})"
    return DataError(f"{reason}: mend that, or name another data folder with --data-dir")


def _download(name: str, folder: Path) -> str:
    """The command that downloads a data set into `folder`."""
    return shlex.join(["nin-onnx", "data", name, "--data-dir", str(folder)])


def checksum(content: bytes, algorithm: str) -> str:
    """The checksum in hexadecimal. It tells where a file comes from and guards nothing, so an old algorithm will do."""
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()


@cache
def warn_unofficial(name: str, folder: Path) -> None:
    """Warn, once in a process, that the copy of data set `name` in `folder` is not the official one."""
    warnings.warn(
        f"data set '{name}' in '{folder}' is an unofficial copy: its files are sound but are not the official release's; "
        "every report says so",
        UnofficialDataWarning,
        stacklevel=3,
    )
