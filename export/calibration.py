"""Calibration data: the training images that variants are made with and judged on; test images are for the card alone."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from nin_onnx import data
from nin_onnx.data import DATASETS, Dataset
from nin_onnx.errors import DataError, MissingExtraError
from nin_onnx.train.checkpoint import Checkpoint
from nin_onnx.train.examples import load

__all__ = ["CalibrationData", "calibration_data", "logits", "test_images"]

SEED = 0
CALIBRATION, VALIDATION = 512, 10_000
BATCH = 128


@dataclass(frozen=True, eq=False)
class CalibrationData:
    """Images to find ranges on, and others to compare decisions on."""

    calibration: NDArray[np.uint8]
    """[N, height, width, channels], drawn with `SEED` from the images that the network was trained on, not from `validation`."""
    validation: Dataset
    trained_on: bool
    """Whether the network was trained on the validation images too; then its own errors there say little, but what a variant
    changes is seen all the same."""

    def describe(self) -> dict[str, Any]:
        """Return how many they are, and how they were drawn."""
        return {
            "images": len(self.calibration),
            "seed": SEED,
            "validation_images": len(self.validation),
            "validation_trained_on": self.trained_on,
        }


def calibration_data(checkpoint: Checkpoint, data_dir: Path | None) -> CalibrationData:
    """Return training images of `checkpoint`, apart from them its validation images, or else the last fifth, at most 10,000.

    Nothing is downloaded. Raises `DataError` if the training images are not on this machine, differ, or are too few.
    """
    recipe = checkpoint.recipe
    dataset = load(recipe, "train", data_dir, download=False)
    trained = len(dataset) - max(recipe.train.validation, dataset.held_out)
    expected, found = str(checkpoint.dataset.get("fingerprint")), dataset[:trained].fingerprint
    if found != expected:
        raise DataError(
            f"the training images of '{dataset.name}' have the fingerprint '{found[:12]}', those of the run '{expected[:12]}': "
            "give --data-dir with the images that it was trained on"
        )
    first = trained if trained < len(dataset) else len(dataset) - min(VALIDATION, len(dataset) // 5)
    if first == len(dataset):
        raise DataError(
            f"'{dataset.name}' has {len(dataset)} training images, too few to judge a variant on a fifth of them: "
            "leave --variant out, or train on 5 or more"
        )
    count = min(CALIBRATION, first)
    rows = np.sort(np.random.default_rng(SEED).choice(first, count, replace=False))
    return CalibrationData(dataset.images[rows], dataset[first : first + VALIDATION], trained_on=trained == len(dataset))


def test_images(test: Mapping[str, Any] | None, data_dir: Path | None) -> Dataset | None:
    """Return the images of `Card.test`; None if there are none, or they are not on this machine."""
    if test is None or test["name"] not in DATASETS:
        return None
    try:
        found = data.load(test["name"], "test", data_dir)
    except (DataError, MissingExtraError):
        return None
    return found if found.fingerprint == test.get("fingerprint") else None


def logits(model: onnx.ModelProto, images: NDArray[Any]) -> NDArray[np.float32]:
    """Return what ONNX Runtime's CPU provider gives for `images` [N, …]: [N, classes]."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # it reports its use to its makers
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    batches = (images[first : first + BATCH] for first in range(0, len(images), BATCH))
    return np.concatenate([session.run(["logits"], {"images": batch})[0] for batch in batches])
