"""MNIST, from its four IDX files, raw or gzipped."""

import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nin_onnx.data.dataset import Dataset, Split
from nin_onnx.data.files import broken, checksum, locate, read
from nin_onnx.data.remote import RemoteFile, fetch

__all__ = ["REMOTE", "download", "load", "parse_idx"]

NAME = "mnist"
SIDE = 28
CLASSES = tuple("0123456789")

FILES: dict[Split, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
MD5 = {  # of the raw files, since gzip's own bytes differ from copy to copy
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist"
REMOTE = tuple(
    RemoteFile(f"{name}.gz", f"{_MIRROR}/{name}.gz", md5)
    for name, md5 in {
        "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
    }.items()
)


def load(split: Split, folder: Path) -> Dataset:
    """Read `folder`/mnist; raises `DataError` for a file that is absent or broken."""
    images_path, labels_path = (folder / NAME / file for file in FILES[split])
    contents = {path: read(NAME, path) for path in (images_path, labels_path)}
    images = parse_idx(contents[images_path], images_path, dimensions=3)
    labels = parse_idx(contents[labels_path], labels_path, dimensions=1)
    if images.shape[1:] != (SIDE, SIDE):
        raise broken(NAME, images_path, f"images of {SIDE}×{SIDE} pixels", "×".join(map(str, images.shape[1:])))
    if len(labels) != len(images):
        raise broken(NAME, labels_path, f"{len(images)} labels, one for each image", f"{len(labels)}")
    if labels.max() >= len(CLASSES):
        raise broken(NAME, labels_path, f"labels 0 to {len(CLASSES) - 1}", f"label {labels.max()}")
    official = all(checksum(content, "md5") == MD5[path.name] for path, content in contents.items())
    return Dataset(NAME, split, images[..., None], labels.astype(np.int64), CLASSES, official)


def parse_idx(content: bytes, path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The bytes in an IDX file: magic number 0x0800 + dimensions, each dimension's size (big-endian), then the values."""
    start = 4 * (1 + dimensions)
    if len(content) < start:
        raise broken(NAME, path, f"a header of {start} bytes", f"{len(content)} bytes")
    magic, *shape = struct.unpack_from(f">{1 + dimensions}I", content)
    if magic != 0x0800 + dimensions:
        raise broken(NAME, path, f"magic number {0x0800 + dimensions}", f"{magic}")
    if 0 in shape:
        raise broken(NAME, path, "sizes above 0 in its header", f"{shape}")
    size = start + math.prod(shape)
    if len(content) != size:
        raise broken(NAME, path, f"{size} bytes by its header", f"{len(content)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()  # writable: PyTorch warns of arrays that are not


def download(folder: Path) -> Path:
    """Download what is not in the data folder yet, and return the folder with the files; raises `DataError`."""
    home = folder / NAME
    for file in REMOTE:
        if not locate(home / file.name.removesuffix(".gz")):
            fetch(file, home)
    return home
