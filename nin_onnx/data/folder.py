"""A user's own images: a folder with a sub-folder for each class."""

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from nin_onnx.data.dataset import Dataset, Split
from nin_onnx.errors import DataError, MissingExtraError, UnknownNameError
from nin_onnx.fit import Fit
from nin_onnx.images import read_image

__all__ = ["ImageFolder", "draw", "shuffled"]

LAYOUT = "a folder with a sub-folder for each class, and in those the images"


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """Where the images lie, and what becomes of them. Its classes are the sub-folders' names, in the order of the alphabet.

    Files beside the sub-folders, and whatever has a name that begins with a dot, are left aside.
    """

    path: Path
    test_path: Path | None = None
    """The test images, in sub-folders of the same names. Without it, they are drawn from those of `path`."""
    test_share: float = 0.2
    """The share of each class that is drawn."""
    seed: int = 0
    """Of the draw, and of the order of the images."""
    height: int
    width: int
    channels: int
    """1 for gray, 3 for red, green and blue."""
    fit: Fit = "stretch"
    """How an image comes to its size: as a whole, or with what is too long cut off at both ends."""

    def __post_init__(self) -> None:
        for name, sound, expected in (
            ("height", self.height >= 1, "1 or more"),
            ("width", self.width >= 1, "1 or more"),
            ("channels", self.channels in (1, 3), "1 or 3"),
            ("test_share", 0 < self.test_share < 1, "above 0 and below 1"),
            ("fit", self.fit in get_args(Fit), " or ".join(get_args(Fit))),
        ):
            if not sound:
                raise DataError(f"{name} '{getattr(self, name)}' of the folder '{self.path}': expected {expected}")

    @property
    def name(self) -> str:
        """How reports call the data set."""
        return f"folder:{self.path.resolve().name}"

    def load(self, split: Split) -> Dataset:
        """Read one split, shuffled by seed and file names; raises `DataError`, or `MissingExtraError` without Pillow.

        Shuffled, because the end of a training set may serve for validation, and must not be one class.
        """
        folder = self.test_path if split == "test" and self.test_path is not None else self.path
        files = self._files(split)
        return self._dataset(split, folder, files, tuple(files))

    def load_all(self, classes: tuple[str, ...]) -> Dataset:
        """Read every image of `path` for a test, by the names of `classes`, of which some may be absent; raises as `load`.

        `UnknownNameError` where a sub-folder has another name.
        """
        files = _list(self.path, least=1)
        for label in files.keys() - set(classes):
            raise UnknownNameError("class folder", label, classes)
        return self._dataset("test", self.path, files, classes)

    def _dataset(self, split: Split, folder: Path, files: Mapping[str, list[str]], classes: tuple[str, ...]) -> Dataset:
        if find_spec("PIL") is None:
            raise MissingExtraError("a folder of images", "pillow", "images")
        names = shuffled((name for row in files.values() for name in row), self.seed)
        index = {label: at for at, label in enumerate(classes)}
        labels = np.array([index[name.partition("/")[0]] for name in names], np.int64)
        return Dataset(self.name, split, self._read(folder, names), labels, classes, official=False, own=True)

    def _files(self, split: Split) -> dict[str, list[str]]:
        """A split's files, by class."""
        found = _list(self.path)
        if self.test_path is None:
            return {label: self._side(split, label, names) for label, names in found.items()}
        tests = _list(self.test_path)
        if self.test_path.resolve() == self.path.resolve():
            raise DataError(f"'{self.path}' is given for training and for testing: name two folders, or leave test_path out")
        if lacking := sorted(found.keys() ^ tests.keys()):
            differ = f"{_quoted(lacking)} {'is' if len(lacking) == 1 else 'are'} in one of them alone"
            raise DataError(
                f"'{self.path}' and '{self.test_path}' should have the same class folders, and {differ}: make them agree"
            )
        return found if split == "train" else tests

    def _side(self, split: Split, label: str, names: list[str]) -> list[str]:
        """The files of a class that are drawn for the test, or those that are left for training."""
        if len(names) < 2:
            found = f"'{self.path / label}' holds one file: expected two or more, to train on one and test on another"
            raise DataError(f"{found}: add images, or name a folder of test images (test_path)")
        drawn = draw(names, self.test_share, self.seed)
        return [name for name in names if (name in drawn) == (split == "test")]

    def _read(self, folder: Path, names: Sequence[str]) -> NDArray[np.uint8]:
        """The images [N, height, width, channels]; raises `DataError` that names those which cannot be read."""
        images = np.empty((len(names), self.height, self.width, self.channels), np.uint8)

        def read(row: int) -> str | None:
            try:
                images[row] = read_image(folder / names[row], self.height, self.width, self.channels, self.fit)
            except ValueError as error:
                return f"'{names[row]}' ({error})"
            return None

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes outside Python's lock
            broken = sorted(filter(None, pool.map(read, range(len(names)))))
        if broken:
            which = f"{len(broken)} of {len(names)} files in '{folder}' cannot be read as images"
            raise DataError(f"{which}: {_few(broken)}: delete or replace them, or move them away")
        return images


def shuffled(names: Iterable[str], seed: int) -> list[str]:
    """The names in an order that depends on them and the seed alone: that of SHA-256."""
    return sorted(names, key=lambda name: (hashlib.sha256(os.fsencode(f"{seed}/{name}")).digest(), name))


def draw(names: Collection[str], share: float, seed: int) -> set[str]:
    """A share of two or more names, rounded, but one at least and not all; it depends on the names and the seed alone."""
    count = min(max(round(share * len(names)), 1), len(names) - 1)
    return set(shuffled(names, seed)[:count])


def _list(folder: Path, least: int = 2) -> dict[str, list[str]]:
    """The class folders, and the files in each as `class/name`, both in the order of the alphabet; raises `DataError`."""
    found = [entry for entry in _visible(folder) if entry.is_dir()]
    if len(found) < least:
        what = f"has the class folder '{found[0].name}' alone" if found else "has no class folders"
        expected = f"{LAYOUT}, of two classes or more" if least > 1 else LAYOUT
        raise DataError(f"'{folder}' {what}: expected {expected}: name another folder, or sort the images")
    for named in (folder.resolve(), *found):
        _check_name(named)
    return {class_folder.name: _files_in(class_folder) for class_folder in found}


def _check_name(folder: Path) -> None:
    """Raise `DataError` for a name that no card and no summary could tell."""
    try:
        folder.name.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(folder).decode(errors="backslashreplace")
        raise DataError(f"'{shown}' should have a name in UTF-8, as labels are written: rename the folder") from error


def _files_in(class_folder: Path) -> list[str]:
    entries = _visible(class_folder)
    if folders := [entry.name for entry in entries if entry.is_dir()]:
        found = f"'{class_folder}' holds folders ({_quoted(folders)})"
        raise DataError(f"{found}: expected {LAYOUT}: name the folder above the classes, or move those folders away")
    if not entries:
        raise DataError(f"'{class_folder}' is empty: expected images of the class '{class_folder.name}': add some, or delete it")
    return [f"{class_folder.name}/{entry.name}" for entry in entries]


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder, by name, but for what is hidden."""
    try:
        return sorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"'{folder}' cannot be read ({error.strerror}): expected {LAYOUT}: name another folder") from error


def _few(items: Sequence[str], most: int = 3) -> str:
    """The first of some items, and how many more there are."""
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


def _quoted(names: Sequence[str]) -> str:
    return _few([f"'{name}'" for name in names])
