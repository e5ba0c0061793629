"""A run: the folder of one training, and what lies in it.

recipe.toml                  every key of the recipe, as it was resolved
metrics.csv                  a line for each epoch
model.safetensors            the trained classifier
summary.json                 what came out, of what, on what

and, until it has ended,

state.safetensors            where a resumed training goes on
preprocessing.safetensors    what was fitted on the training images
"""

import contextlib
import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nin_onnx import atomic
from nin_onnx.errors import RunError
from nin_onnx.train import recipe as recipes
from nin_onnx.train.recipe import Recipe

__all__ = ["Epoch", "Run"]

NOT_ALWAYS = ("validation_error", "test_error")  # columns with gaps, and older files lack some


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

    def check_new(self) -> None:
        """Raise `RunError` unless the folder is absent or empty."""
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            resume = f", or go on with it: nin-onnx train --resume {self.folder}" if self.state.exists() else ""
            raise RunError(f"'{self.folder}' is there already, and nothing is overwritten: choose another --out{resume}")

    def create(self, recipe: Recipe) -> None:
        """Make the folder and write the recipe into it; raises `RunError` for one that holds anything."""
        self.check_new()
        atomic.write_text(self.folder / "recipe.toml", recipes.to_toml(recipe))

    def discard(self) -> None:
        """Remove what `create` made."""
        for file in (self.folder / "recipe.toml", self.preprocessing):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the folder holds something else
            self.folder.rmdir()

    def clear(self) -> None:
        """Remove what a process that was killed while it wrote has left behind."""
        for file in self.folder.glob(".*.part"):
            file.unlink(missing_ok=True)

    def recipe(self) -> Recipe:
        """The recipe as it was resolved."""
        path = self.folder / "recipe.toml"
        return recipes.from_dict(recipes.read(path), path.name)

    def trained(self) -> Path:
        """The trained classifier's file; raises `RunError` where there is none yet."""
        if self.model.exists():
            return self.model
        if self.state.exists():
            raise RunError(f"the run '{self.folder}' has not ended: finish it with nin-onnx train --resume {self.folder}")
        what = "holds no checkpoint (model.safetensors)" if self.folder.is_dir() else "is no run folder"
        raise RunError(f"'{self.folder}' {what}: make one with nin-onnx train RECIPE --out {self.folder}")

    def write_metrics(self, epochs: list[Epoch]) -> None:
        """Write `metrics.csv`, whole."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(Epoch.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _readable(value) for key, value in vars(epoch).items()} for epoch in epochs)
        atomic.write_text(self.folder / "metrics.csv", text.getvalue())

    def read_metrics(self) -> list[Epoch]:
        """The epochs that `metrics.csv` holds, one at least, of a run that has ended or is under way; raises `RunError`."""
        file = self.folder / "metrics.csv"
        if not (self.folder / "recipe.toml").is_file():
            raise RunError(f"'{self.folder}' is no run folder: make one with nin-onnx train RECIPE --out {self.folder}")
        try:
            text = file.read_text(encoding="utf-8")
            reader = csv.DictReader(io.StringIO(text), strict=True)
            if missing := [name for name in Epoch.__dataclass_fields__ if name not in {*(reader.fieldnames or ()), *NOT_ALWAYS}]:
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
        """What `write_summary` wrote."""
        try:
            summary: dict[str, Any] = json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"'{self.folder}' holds no summary.json that can be read ({error}): train again") from error
        return summary

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write `summary.json`."""
        atomic.write_text(self.folder / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")


def _readable(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _epoch(row: Mapping[str | Any, Any], number: int) -> Epoch:
    """The `number`th epoch, from its line in `metrics.csv`; raises `ValueError` where that is not whole."""
    names = Epoch.__dataclass_fields__
    try:
        values = {name: None if name in NOT_ALWAYS and not row.get(name) else float(row[name]) for name in names}
    except (TypeError, ValueError):
        values = {}
    if None in row or values.get("epoch") != number or not all(math.isfinite(value or 0) for value in values.values()):
        raise ValueError(f"line {number + 1}")
    return Epoch(**{**values, "epoch": number})  # type: ignore[arg-type] # those that may be None are
