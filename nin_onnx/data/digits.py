"""The handwritten digits that scikit-learn carries: 1,797 images of 8×8 pixels, there without a network."""

from pathlib import Path
from typing import Any

import numpy as np

from nin_onnx.data.dataset import Dataset, Split
from nin_onnx.errors import MissingExtraError

__all__ = ["download", "load"]

NAME = "digits"
CLASSES = tuple("0123456789")
TEST_IMAGES = 360
FINGERPRINT = "bbe74ba6220adbe5995dc1c231e80955bb564b15bdd32c6aa732efb403fa14f7"
"""Of all images in scikit-learn's order."""


def load(split: Split, folder: Path) -> Dataset:
    """One split, made here: the last 360 images of a fixed permutation are the test set. `folder` has no part in it."""
    bunch = _sklearn_datasets().load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]  # [N, 8, 8] of 0…16 -> [N, 8, 8, 1] of 0…255
    labels = bunch.target.astype(np.int64)
    official = Dataset(NAME, split, images, labels, CLASSES, official=False).fingerprint == FINGERPRINT
    order = np.random.RandomState(0).permutation(len(labels))  # the generator whose numbers NumPy never changes
    rows = order[-TEST_IMAGES:] if split == "test" else order[:-TEST_IMAGES]
    return Dataset(NAME, split, images[rows], labels[rows], CLASSES, official)


def download(folder: Path) -> Path:
    """Where scikit-learn keeps the digits: nothing is downloaded, and `folder` has no part in it."""
    return Path(_sklearn_datasets().__file__).parent / "data"


def _sklearn_datasets() -> Any:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise MissingExtraError("the data set 'digits'", "scikit-learn", "demo") from error
    return datasets
