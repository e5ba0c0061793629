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
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nin_onnx import atomic
from nin_onnx.errors import RunError
from nin_onnx.train import recipe as recipes
from nin_onnx.train.recipe import Recipe

__all__ = ["Epoch", "Run"]

LOCK = ".lock"  # in the folder while a process trains there, and after one that was killed, whose lock is gone with it
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

    @property
    def _typed(self) -> str:
        """The folder as it is typed in a command."""
        return shlex.quote(str(self.folder))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training here, and remove what it made of the folder if nothing is in it at the end.

        Raises `RunError` where another process does. On a disk that knows no locks nobody is kept from it, or all are until
        the file is removed, as the package has it there.
        """
        from filelock import FileLock, Timeout  # comes with torch; a run is read without it

        path = self.folder / LOCK
        lock = FileLock(path)
        made = [self.folder, *(parent for parent in self.folder.parents if not parent.exists())]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunError(
                f"'{self.folder}' is being trained by another process: wait for it, or stop it first (if there is none, "
                f"remove '{path}')"
            ) from error
        except (OSError, NotImplementedError):
            pass  # where nothing can be written, that says so which is to be kept
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)  # while it is locked: once it is not, it may be another's
            lock.release()
            with contextlib.suppress(OSError):  # the first that holds something ends it
                for folder in made:
                    folder.rmdir()

    def busy(self) -> bool:
        """Return whether another process trains here."""
        try:
            if (self.folder / LOCK).exists():
                with self.locked():
                    pass
        except RunError:
            return True
        return False

    def check_new(self) -> None:
        """Raise `RunError` unless the folder is absent, empty, or what a run that was killed while it began has left."""
        if self.folder.exists() and not (self.folder.is_dir() and self._begun_at_most()):
            resume = f", or go on with it: nin-onnx train --resume {self._typed}" if self.state.exists() else ""
            raise RunError(f"'{self.folder}' is there already, and nothing is overwritten: choose another --out{resume}")

    def _begun_at_most(self) -> bool:
        """Whether all that the folder holds is what `create` wrote, the preprocessing first."""
        files = [path for path in self.folder.iterdir() if path.name != LOCK and not path.match(".*.part")]
        return not files or (self.preprocessing in files and {*files} <= {self.preprocessing, self.folder / "recipe.toml"})

    def check_resumable(self) -> None:
        """Raise `RunError` unless the run can go on."""
        if self.model.exists():
            raise RunError(f"the run '{self.folder}' has ended: nin-onnx export {self._typed}")
        if not self.folder.is_dir():
            raise RunError(f"'{self.folder}' is no run folder: make one with nin-onnx train RECIPE --out {self._typed}")
        if not self.state.exists():
            raise RunError(f"'{self.folder}' holds no state.safetensors to resume from: train it afresh with another --out")

    def create(self, recipe: Recipe, write_preprocessing: Callable[[Path], None]) -> None:
        """Make the folder, and write preprocessing and recipe into it; raises `RunError` for one that holds anything."""
        self.check_new()
        self.clear()
        write_preprocessing(self.preprocessing)
        atomic.write_text(self.folder / "recipe.toml", recipes.to_toml(recipe))

    def discard(self) -> None:
        """Remove what a run wrote that came to nothing."""
        for file in (self.state, self.preprocessing, self.folder / "recipe.toml", self.folder / "metrics.csv"):
            file.unlink(missing_ok=True)
        self.clear()

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
            raise RunError(f"the run '{self.folder}' has not ended: finish it with nin-onnx train --resume {self._typed}")
        what = "holds no checkpoint (model.safetensors)" if self.folder.is_dir() else "is no run folder"
        raise RunError(f"'{self.folder}' {what}: make one with nin-onnx train RECIPE --out {self._typed}")

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
            raise RunError(f"'{self.folder}' is no run folder: make one with nin-onnx train RECIPE --out {self._typed}")
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
