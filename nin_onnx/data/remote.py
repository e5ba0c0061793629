"""Downloading: a file arrives whole, with the right checksum, or not at all."""

import shutil
import sys
import tarfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from nin_onnx.errors import DataError

__all__ = ["RemoteFile", "fetch", "unpack"]


@dataclass(frozen=True)
class RemoteFile:
    """A file that a data set is downloaded as."""

    name: str
    url: str
    md5: str


def fetch(file: RemoteFile, folder: Path) -> Path:
    """Download `file` into `folder`, unless it is there already; raises `DataError` and then leaves nothing behind."""
    try:
        import pooch
    except ImportError as error:
        raise DataError("a download needs the package 'pooch': pip install pooch tqdm") from error
    pooch.get_logger().setLevel("WARNING")  # it would say where each file goes, over several lines
    bar = sys.stderr.isatty() and find_spec("tqdm") is not None
    by_hand = f"try again, or put the files into '{folder}' by hand"
    try:
        downloader = pooch.HTTPDownloader(progressbar=bar)
        return Path(pooch.retrieve(file.url, f"md5:{file.md5}", file.name, folder, downloader=downloader))
    except OSError as error:  # the disk's, and the network's: requests' errors are OSErrors with paragraphs for messages
        response = getattr(error, "response", None)
        if response is not None:
            response.close()  # pooch leaves it open
        reason = error.strerror or type(error).__name__ if response is None else f"{response.status_code} {response.reason}"
        raise DataError(f"'{file.url}' cannot be downloaded ({reason}): {by_hand}") from error
    except ValueError as error:  # pooch's word for a wrong checksum, with both in it
        mismatch = str(error).partition(" Deleted download")[0]
        raise DataError(f"'{file.url}' gave another file, and it was deleted ({mismatch}): {by_hand}") from error


def unpack(archive: Path, members: Collection[str], folder: Path) -> None:
    """Put the regular files `members` of a tar archive into `folder`, each by the last part of its name; raises `DataError`.

    No path, mode or link of the archive is followed, so nothing lands outside `folder`. Files that are there stay as they are.
    """
    names = {Path(member).name for member in members}
    try:
        with TemporaryDirectory(dir=folder) as temporary, tarfile.open(archive) as tar:
            for member in tar:
                if member.name in members and member.isreg() and (content := tar.extractfile(member)):
                    with (Path(temporary) / Path(member.name).name).open("wb") as copy:
                        shutil.copyfileobj(content, copy)
            unpacked = list(Path(temporary).iterdir())
            if missing := names - {file.name for file in unpacked}:
                raise DataError(f"'{archive}' should hold {sorted(names)}, and {sorted(missing)} are not in it: delete it")
            for file in unpacked:
                if not (folder / file.name).exists():
                    file.replace(folder / file.name)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DataError(f"'{archive}' cannot be unpacked ({error}): mend that, or delete it and try again") from error
