"""Reads a run, the folder of one training.

recipe.toml                  the resolved recipe, with every key
metrics.csv                  a line for each epoch
model.safetensors            the trained classifier
summary.json                 results, data, settings and environment

and, until it has ended,

state.safetensors            what a resumed training starts from
preprocessing.safetensors    the preprocessing, fitted on the training images
"""

import csv
import io
import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nin_onnx.errors import RunError
from nin_onnx.recipe import Recipe, from_dict
from nin_onnx.recipe import read as read_toml

__all__ = ["Epoch", "Run"]

OPTIONAL = ("validation_error", "test_error")  # columns that may be empty or, in older files, absent


@dataclass(frozen=True)
class Epoch:
    """A line of `metrics.csv`; errors in per cent."""

    epoch: int
    learning_rate: float
    train_loss: float
    """Mean over the epoch's images, with dropout and augmentation on; so is the train error."""
    train_error: float
    validation_error: float | None
    test_error: float | None
    """With `train.test_curve` only."""
    seconds: float
    images_per_second: float


@dataclass(frozen=True)
class Run:
    """The folder of one training."""

    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def state(self) -> Path:
        return self.folder / "state.safetensors"

    @property
    def preprocessing(self) -> Path:
        return self.folder / "preprocessing.safetensors"

    @property
    def typed(self) -> str:
        """The folder, quoted for a command line."""
        return shlex.quote(str(self.folder))

    def recipe(self) -> Recipe:
        """Return the resolved recipe."""
        path = self.folder / "recipe.toml"
        return from_dict(read_toml(path), path.name)

    def trained(self) -> Path:
        """Return the trained classifier's file; raise `RunError` if there is none yet."""
        if self.model.exists():
            return self.model
        if self.state.exists():
            raise RunError(f"the run '{self.folder}' has not ended: finish it with nin-onnx train --resume {self.typed}")
        what = "holds no checkpoint (model.safetensors)" if self.folder.is_dir() else "is not a run folder"
        raise RunError(f"'{self.folder}' {what}: make one with nin-onnx train RECIPE --out {self.typed}")

    def read_metrics(self) -> list[Epoch]:
        """Return the finished epochs in `metrics.csv`, at least one; raise `RunError`."""
        file = self.folder / "metrics.csv"
        if not (self.folder / "recipe.toml").is_file():
            raise RunError(f"'{self.folder}' is not a run folder: make one with nin-onnx train RECIPE --out {self.typed}")
        try:
            text = file.read_text(encoding="utf-8")
            reader = csv.DictReader(io.StringIO(text), strict=True)
            if missing := [name for name in Epoch.__dataclass_fields__ if name not in {*(reader.fieldnames or ()), *OPTIONAL}]:
                raise ValueError(f"no column '{missing[0]}'")
            epochs = [_epoch(row, number) for number, row in enumerate(reader, 1)]
            if not text.endswith("\n"):
                raise ValueError("cut off")
        except FileNotFoundError:
            epochs = []
        except (OSError, ValueError, csv.Error) as error:
            raise RunError(
                f"'{file}' is broken or not of a run ({error}): expected a whole line for each epoch, as nin-onnx train writes; "
                f"copy it anew, or give another run's folder"
            ) from error
        if not epochs:
            raise RunError(f"the run '{self.folder}' has no finished epoch: wait for its first, or give another run's folder")
        return epochs

    def summary(self) -> dict[str, Any]:
        """Return the content of `summary.json`; raise `RunError` if it cannot be read."""
        try:
            summary: dict[str, Any] = json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"'{self.folder}' holds no summary.json that can be read ({error}): train again") from error
        return summary


def _epoch(row: Mapping[str | Any, Any], number: int) -> Epoch:
    """Return the `number`th epoch from its line in `metrics.csv`; raise `ValueError` if that is not valid."""
    names = Epoch.__dataclass_fields__
    try:
        values = {name: None if name in OPTIONAL and not row.get(name) else float(row[name]) for name in names}
    except (TypeError, ValueError):
        values = {}
    if None in row or values.get("epoch") != number or not all(math.isfinite(value or 0) for value in values.values()):
        raise ValueError(f"line {number + 1}")
    return Epoch(**{**values, "epoch": number})  # type: ignore[arg-type] # those that may be None are
