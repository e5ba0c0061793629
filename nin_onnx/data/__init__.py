"""The data sets: one table of what there is, and one way to load it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import get_args

from nin_onnx.data import cifar, digits, mnist, svhn
from nin_onnx.data.dataset import Dataset, Split
from nin_onnx.data.files import UnofficialDataWarning, data_folder, warn_unofficial
from nin_onnx.errors import UnknownNameError

__all__ = ["DATASETS", "Dataset", "Source", "Split", "UnofficialDataWarning", "data_folder", "download", "load"]


@dataclass(frozen=True)
class Source:
    """How to get one data set."""

    load: Callable[[Split, Path], Dataset]
    """Read a split from the data folder; raises `DataError`."""
    download: Callable[[Path], Path]
    """Download what is not in the data folder yet, and return the folder with the files; raises `DataError`."""


DATASETS: Mapping[str, Source] = MappingProxyType(
    {
        "mnist": Source(mnist.load, mnist.download),
        "cifar10": Source(partial(cifar.load, cifar.CIFAR10), partial(cifar.download, cifar.CIFAR10)),
        "cifar100": Source(partial(cifar.load, cifar.CIFAR100), partial(cifar.download, cifar.CIFAR100)),
        "svhn": Source(svhn.load, svhn.download),
        "digits": Source(digits.load, digits.download),
    }
)


def load(name: str, split: Split, data_dir: Path | None = None, *, download: bool = False) -> Dataset:
    """One split of a data set, in memory; raises `UnknownNameError`, or `DataError` for files that are absent or broken.

    With `download`, files that are absent are downloaded first. Files that are there and sound, but not the official
    release's, are used, with one `UnofficialDataWarning`.
    """
    source, folder = _source(name), data_folder(data_dir)
    if split not in get_args(Split):
        raise UnknownNameError("split", split, get_args(Split))
    if download:
        source.download(folder)
    dataset = source.load(split, folder)
    if not dataset.official:
        warn_unofficial(name, folder)
    return dataset


def download(name: str, data_dir: Path | None = None) -> Path:
    """Download the files of a data set that are not there yet, and return their folder; raises what `load` raises."""
    return _source(name).download(data_folder(data_dir))


def _source(name: str) -> Source:
    if name not in DATASETS:
        raise UnknownNameError("data set", name, DATASETS)
    return DATASETS[name]
