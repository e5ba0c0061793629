"""SVHN, house numbers cut into single digits (its "format 2"), from three MATLAB files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from nin_onnx.data.dataset import Dataset, Split
from nin_onnx.data.files import broken, file_checksum
from nin_onnx.data.remote import RemoteFile, fetch
from nin_onnx.errors import require

__all__ = ["PARTS", "Part", "download", "last_of_each_class", "load", "read_part"]

NAME = "svhn"
PURPOSE = f"the data set '{NAME}'"
CHANNELS, SIDE = 3, 32
CLASSES = tuple("0123456789")
ZERO = 10
"""The label of the digit 0."""


@dataclass(frozen=True)
class Part:
    """One file, its number of images, and how many of each class, the last in the file, are for validation."""

    file: RemoteFile
    images: int
    held_out: int = 0


def _file(name: str, md5: str) -> RemoteFile:
    return RemoteFile(name, f"http://ufldl.stanford.edu/housenumbers/{name}", md5)


PARTS: Mapping[Split, tuple[Part, ...]] = MappingProxyType(
    {
        "train": (
            Part(_file("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"), 73_257, held_out=400),
            Part(_file("extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7"), 531_131, held_out=200),
        ),
        "test": (Part(_file("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"), 26_032),),
    }
)


def load(split: Split, folder: Path, parts: Mapping[Split, tuple[Part, ...]] = PARTS) -> Dataset:
    """Read `folder`/svhn; raises `DataError` for a file that is absent or broken, `MissingExtraError` without SciPy.

    The paper holds out 400 images of each class of train and 200 of each class of extra, and does not say which. Here
    they are the last of each class in the order of the file: the digits of one photograph stand side by side, so fewer
    photographs lend digits to both sides than by a draw. They end the training set, first train's, then extra's; before
    them comes what is trained on, in the same order. At most, memory holds the data set and the file that is being read.

    Only the official files are read, by checksum: a tampered one can crash SciPy's reader, which is compiled code.
    """
    require(PURPOSE, NAME, "scipy")
    paths = {part: folder / NAME / part.file.name for part in parts[split]}
    for part, path in paths.items():
        if (found := file_checksum(NAME, path, "md5")) != part.file.md5:
            raise broken(NAME, path, f"the official file, md5 {part.file.md5}", f"md5 {found}")
    total = sum(part.images for part in paths)
    held_out = len(CLASSES) * sum(part.held_out for part in paths)
    images, labels = np.empty((total, SIDE, SIDE, CHANNELS), np.uint8), np.empty(total, np.int64)
    trained, held = 0, total - held_out  # where the next image to train on goes, and the next that is held out
    for part, path in paths.items():
        pixels, digits = read_part(part, path)
        apart = last_of_each_class(digits, part.held_out, path)
        rows = np.where(apart, held - 1 + np.cumsum(apart), trained - 1 + np.cumsum(~apart))
        images[rows], labels[rows] = pixels, digits
        trained, held = trained + int(np.count_nonzero(~apart)), held + int(np.count_nonzero(apart))
        del pixels  # before the next file is read
    return Dataset(NAME, split, images, labels, CLASSES, official=True, held_out=held_out)


def read_part(part: Part, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The images [N, 32, 32, 3], a view of the bytes in the file's order, and the digits [N] in a MATLAB file.

    Names, classes and sizes are read first. Only X and y are decoded, and only as numbers: objects and functions are refused.
    """
    from scipy.io import loadmat, whosmat

    shapes = {"X": (SIDE, SIDE, CHANNELS, part.images), "y": (part.images, 1)}
    facts = [fact for fact in whosmat(str(path), appendmat=False) if fact[0] in shapes]
    if sorted(facts) not in [[("X", shapes["X"], "uint8"), ("y", shapes["y"], kind)] for kind in ("double", "uint8")]:
        found = " and ".join(f"{name} {kind} {shape}" for name, shape, kind in facts)
        raise broken(NAME, path, f"X uint8 {shapes['X']} and y double {shapes['y']}", found or "neither")
    table = loadmat(str(path), appendmat=False, variable_names=list(shapes))
    labels = table["y"][:, 0]
    if wrong := sorted(set(np.unique(labels).tolist()) - set(range(1, ZERO + 1))):
        raise broken(NAME, path, f"labels 1 to {ZERO}", f"{wrong}")
    return table["X"].transpose(3, 0, 1, 2), labels.astype(np.int64) % ZERO


def last_of_each_class(digits: NDArray[np.int64], count: int, path: Path) -> NDArray[np.bool_]:
    """Which images are among the last `count` of their class; raises `DataError` where a class has fewer."""
    chosen = np.zeros(len(digits), bool)
    for digit, name in enumerate(CLASSES):
        rows = np.flatnonzero(digits == digit)
        if len(rows) < count:
            raise broken(NAME, path, f"{count} images or more of each class", f"{len(rows)} of '{name}'")
        chosen[rows[len(rows) - count :]] = True
    return chosen


def download(folder: Path, parts: Mapping[Split, tuple[Part, ...]] = PARTS) -> Path:
    """Download what is not in the data folder yet (1.6 GB), and return the folder with the files; raises what `load` raises."""
    require(PURPOSE, NAME, "scipy")  # before a long download that nothing could read
    home = folder / NAME
    for part in (part for split in parts.values() for part in split):
        if not (home / part.file.name).exists():
            fetch(part.file, home)
    return home
