"""The digits against scikit-learn's own table."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from nin_onnx.data import DATASETS, digits
from nin_onnx.errors import MissingExtraError

datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed: pip install 'nin-onnx[demo]'")
NOWHERE = Path("nowhere")


def test_the_splits_are_a_partition_of_scikit_learns_digits() -> None:
    train, test = digits.load("train", NOWHERE), digits.load("test", NOWHERE)
    assert (train.images.shape, test.images.shape) == ((1437, 8, 8, 1), (360, 8, 8, 1))
    assert (len(train), len(test)) == (DATASETS["digits"].train_images, DATASETS["digits"].test_images)
    whole = datasets.load_digits()
    scaled = [bytes(round(value * 255 / 16) for value in row) for row in whole.data.tolist()]
    found = [
        (image.tobytes(), int(label)) for part in (train, test) for image, label in zip(part.images, part.labels, strict=True)
    ]
    assert sorted(found) == sorted(zip(scaled, whole.target.tolist(), strict=True))


def test_black_and_white_span_the_whole_byte() -> None:
    assert set(np.unique(digits.load("train", NOWHERE).images)) == {round(value * 255 / 16) for value in range(17)}


def test_the_split_is_the_same_for_ever() -> None:
    test = digits.load("test", NOWHERE)
    assert test.fingerprint == "926c008811036a0da75020090c2dd700a7c063cb04ad5c178ec05f9468de25f3"
    assert np.bincount(test.labels).min() >= 25  # every class is there in number


def test_the_digits_are_official() -> None:
    assert digits.load("train", NOWHERE).official
    assert digits.load("test", NOWHERE).official


def test_other_digits_are_an_unofficial_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = datasets.load_digits()
    changed = whole.images.copy()
    changed[0, 0, 0] = 16
    monkeypatch.setattr(datasets, "load_digits", lambda: SimpleNamespace(images=changed, target=whole.target))
    assert not digits.load("train", NOWHERE).official


def test_the_download_is_the_folder_in_scikit_learn() -> None:
    assert (digits.download(NOWHERE) / "digits.csv.gz").is_file()


def test_a_missing_scikit_learn_is_named_with_its_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    for use in (lambda: digits.load("train", NOWHERE), lambda: digits.download(NOWHERE)):
        with pytest.raises(
            MissingExtraError, match=r"^the data set 'digits' needs .*'scikit-learn': pip install 'nin-onnx\[demo\]'$"
        ):
            use()
