"""The data sets: one table of what there is, and one way to load it. To read the table takes no NumPy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType
from typing import get_args

from nin_onnx.data.dataset import Dataset, Split
from nin_onnx.data.files import data_folder, warn_unofficial
from nin_onnx.errors import UnknownNameError, UnofficialDataWarning

__all__ = ["DATASETS", "Dataset", "Source", "Split", "UnofficialDataWarning", "data_folder", "download", "load"]

Load = Callable[[Split, Path], Dataset]
Download = Callable[[Path], Path]


@dataclass(frozen=True)
class Source:
    """A data set: how to get it, and what is known of it before it is read."""

    load: Load
    """Read a split from the data folder; raises `DataError`."""
    download: Download
    """Download what is not in the data folder yet, and return the folder with the files; raises `DataError`."""
    train_images: int
    """Images that are trained on: of the official training set, without those that are held out."""
    test_images: int
    """Images of the official test set."""
    hub: str | None = None
    """Its name on Hugging Face's hub."""
    content: str | None = None
    """What its images have in common, for readers who give a model their own."""


def _functions(place: str) -> tuple[Load, Download]:
    """Return `load` and `download` of `nin_onnx.data.place`, a module or `module:object`; imported when they are called."""

    def load(split: Split, folder: Path) -> Dataset:
        dataset = resolve_name(f"nin_onnx.data.{place}").load(split, folder)
        assert isinstance(dataset, Dataset)
        return dataset

    def download(folder: Path) -> Path:
        return Path(resolve_name(f"nin_onnx.data.{place}").download(folder))

    return load, download


PHOTOGRAPHS = "small photographs with one thing in the middle"
DATASETS: Mapping[str, Source] = MappingProxyType(
    {
        "mnist": Source(
            *_functions("mnist"),
            train_images=60_000,
            test_images=10_000,
            hub="ylecun/mnist",
            content="light strokes on dark ground, one digit that fills the middle: invert a scan of ink on paper first",
        ),
        "cifar10": Source(
            *_functions("cifar:CIFAR10"),
            train_images=50_000,
            test_images=10_000,
            hub="uoft-cs/cifar10",
            content=PHOTOGRAPHS,
        ),
        "cifar100": Source(
            *_functions("cifar:CIFAR100"),
            train_images=50_000,
            test_images=10_000,
            hub="uoft-cs/cifar100",
            content=PHOTOGRAPHS,
        ),
        "svhn": Source(
            *_functions("svhn"),
            train_images=598_388,
            test_images=26_032,
            hub="ufldl-stanford/svhn",
            content="house numbers cut out of photographs, one digit in the middle",
        ),
        "digits": Source(
            *_functions("digits"),
            train_images=1_437,
            test_images=360,
            content="light strokes on dark ground, one digit that fills the 8 × 8 pixels: invert a scan of ink on paper first",
        ),
    }
)


def load(name: str, split: Split, data_dir: Path | None = None, *, download: bool = False) -> Dataset:
    """Return one split of a data set, in memory; raises `UnknownNameError`, or `DataError` for files that are absent or broken.

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
