"""The contract that every data set keeps."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from nin_onnx.data import Dataset


def dataset(official: bool = True) -> Dataset:
    images = np.arange(3 * 2 * 2, dtype=np.uint8).reshape(3, 2, 2, 1)
    return Dataset("made-up", "test", images, np.array([0, 1, 1]), ("a", "b"), official)


def test_a_slice_is_a_data_set_of_the_same_kind() -> None:
    part = dataset()[1:]
    assert len(part) == 2
    assert part.labels.tolist() == [1, 1]
    assert part.images[0].tolist() == [[[4], [5]], [[6], [7]]]
    assert part.classes == ("a", "b")
    assert part.fingerprint != dataset().fingerprint


def test_a_slice_holds_nothing_out_and_keeps_the_fingerprint_of_its_images() -> None:
    whole = replace(dataset(), held_out=2)
    assert (whole.held_out, whole[:].held_out, whole[1:].held_out) == (2, 0, 0)
    assert whole.fingerprint == whole[:].fingerprint == dataset().fingerprint


def test_nothing_is_held_out_unless_it_is_said() -> None:
    assert dataset().held_out == 0


def test_the_fingerprint_is_that_of_shape_pixels_and_labels() -> None:
    labels = b"".join(label.to_bytes(8, "little") for label in (0, 1, 1))
    assert dataset().fingerprint == hashlib.sha256(b"(3, 2, 2, 1)" + bytes(range(12)) + labels).hexdigest()


@pytest.mark.parametrize(("official", "provenance"), [(True, "official"), (False, "unofficial copy")])
def test_a_report_carries_provenance_and_fingerprint(official: bool, provenance: str) -> None:
    facts = json.loads(json.dumps(dataset(official).describe()))
    fingerprint = dataset().fingerprint
    assert facts == {"name": "made-up", "split": "test", "images": 3, "provenance": provenance, "fingerprint": fingerprint}


def test_a_user_s_own_data_are_neither_official_nor_a_copy() -> None:
    assert replace(dataset(False), own=True).describe()["provenance"] == "user's own"
    assert replace(dataset(False), own=True)[1:].own
