"""CIFAR-10 and CIFAR-100, from their binary archives: records of label bytes and one image, channel by channel."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from nin_onnx.data.dataset import Dataset, Split
from nin_onnx.data.files import broken, checksum, locate, read
from nin_onnx.data.remote import RemoteFile, fetch, unpack

__all__ = ["CIFAR10", "CIFAR100", "Batch", "Release", "parse_records"]

CHANNELS, SIDE = 3, 32


@dataclass(frozen=True)
class Batch:
    """One file of records, and the official file's checksum."""

    name: str
    records: int
    sha1: str


@dataclass(frozen=True)
class Release:
    """A data set in this format: the archive, the folder in it, and the files in that."""

    name: str
    archive: RemoteFile
    folder: str
    classes_file: str
    """Names of the classes, one on a line, in the order of the labels."""
    classes: tuple[str, ...]
    """The official names."""
    batches: Mapping[Split, tuple[Batch, ...]]
    label_bytes: int = 1
    """Labels in front of each image, a byte each; the last is the class."""

    @property
    def record(self) -> int:
        """Bytes of one image with its labels."""
        return self.label_bytes + CHANNELS * SIDE * SIDE

    def load(self, split: Split, folder: Path) -> Dataset:
        """Read one split of this release from the data folder; raises `DataError` for a file that is absent or broken."""
        home = folder / self.folder
        classes = parse_classes(self, read(self.name, home / self.classes_file), home / self.classes_file)
        official = classes == self.classes
        planes, labels = [], []
        for batch in self.batches[split]:
            content = read(self.name, home / batch.name)
            batch_planes, batch_labels = parse_records(self, batch.records, content, home / batch.name)
            planes.append(batch_planes)
            labels.append(batch_labels)
            official &= checksum(content, "sha1") == batch.sha1
        images = np.empty((sum(map(len, labels)), SIDE, SIDE, CHANNELS), np.uint8)
        for channel in range(CHANNELS):  # [N, C, H, W] -> [N, H, W, C], one copy: a transposition takes eight times as long
            np.concatenate([batch[:, channel] for batch in planes], out=images[..., channel])
        return Dataset(self.name, split, images, np.concatenate(labels).astype(np.int64), classes, official)

    def download(self, folder: Path) -> Path:
        """Download what is not in the data folder yet, and return the folder with the files; raises `DataError`."""
        home = folder / self.folder
        names = [self.classes_file, *(batch.name for split in self.batches.values() for batch in split)]
        if not all(locate(home / name) for name in names):
            archive = fetch(self.archive, home)
            unpack(archive, [f"{self.folder}/{name}" for name in names], home)
            archive.unlink(missing_ok=True)
        return home


CIFAR10 = Release(
    "cifar10",
    RemoteFile(
        "cifar-10-binary.tar.gz", "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"
    ),
    "cifar-10-batches-bin",
    "batches.meta.txt",
    ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    MappingProxyType(
        {  # the checksums that Apache MXNet publishes (gluon/data/vision/datasets.py)
            "train": (
                Batch("data_batch_1.bin", 10_000, "aadd24acce27caa71bf4b10992e9e7b2d74c2540"),
                Batch("data_batch_2.bin", 10_000, "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795"),
                Batch("data_batch_3.bin", 10_000, "1dd00a74ab1d17a6e7d73e185b69dbf31242f295"),
                Batch("data_batch_4.bin", 10_000, "aab85764eb3584312d3c7f65fd2fd016e36a258e"),
                Batch("data_batch_5.bin", 10_000, "26e2849e66a845b7f1e4614ae70f4889ae604628"),
            ),
            "test": (Batch("test_batch.bin", 10_000, "67eb016db431130d61cd03c7ad570b013799c88c"),),
        }
    ),
)

FINE_LABELS = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""

CIFAR100 = Release(
    "cifar100",
    RemoteFile(
        "cifar-100-binary.tar.gz", "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"
    ),
    "cifar-100-binary",
    "fine_label_names.txt",
    tuple(FINE_LABELS.split()),
    MappingProxyType(
        {  # the checksums that Apache MXNet publishes; a lossless copy of the images with the official labels has them too
            "train": (Batch("train.bin", 50_000, "e207cd2e05b73b1393c74c7f5e7bea451d63e08e"),),
            "test": (Batch("test.bin", 10_000, "8fb6623e830365ff53cf14adec797474f5478006"),),
        }
    ),
    label_bytes=2,  # one of 20 superclasses, then one of the 100 classes
)


def parse_classes(release: Release, content: bytes, path: Path) -> tuple[str, ...]:
    """The names in a file of one name on a line, but for blank lines."""
    names = tuple(line.strip() for line in content.decode(errors="replace").splitlines() if line.strip())
    if len(set(names)) != len(names) or len(names) != len(release.classes):
        raise broken(release.name, path, f"{len(release.classes)} different names", f"{list(names)}")
    return names


def parse_records(release: Release, records: int, content: bytes, path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The images [records, 3, 32, 32] and labels [records] in a file of records."""
    if len(content) != records * release.record:
        raise broken(release.name, path, f"{records * release.record} bytes ({records} images)", f"{len(content)}")
    table = np.frombuffer(content, np.uint8).reshape(records, release.record)
    labels = table[:, release.label_bytes - 1]
    if labels.max() >= len(release.classes):
        raise broken(release.name, path, f"labels 0 to {len(release.classes) - 1}", f"label {labels.max()}")
    return table[:, release.label_bytes :].reshape(-1, CHANNELS, SIDE, SIDE), labels
