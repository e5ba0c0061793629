"""Writes the folder of a run, while its training works in it."""

import csv
import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from nin_onnx import atomic
from nin_onnx.errors import RunError
from nin_onnx.recipe import Recipe, to_toml
from nin_onnx.run import Epoch, Run
from nin_onnx.train.lock import LOCK, is_locked, locked

__all__ = ["WritableRun"]


class WritableRun(Run):
    """The folder of one training, to write to."""

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from training here; raise `RunError` if one does."""
        busy = RunError(
            f"'{self.folder}' is being trained by another process: wait for it, or stop it first (if there is none, remove "
            f"'{self.folder / LOCK}')"
        )
        return locked(self.folder, busy, remove=True)

    def is_locked(self) -> bool:
        """Return whether another process trains here."""
        return is_locked(self.folder) is True

    def check_new(self) -> None:
        """Raise `RunError` unless the folder is absent, empty, or left by a run that was killed while it began."""
        if self.folder.exists() and not (self.folder.is_dir() and self._only_created()):
            resume = f", or go on with it: nin-onnx train --resume {self.typed}" if self.state.exists() else ""
            raise RunError(f"'{self.folder}' already exists and will not be overwritten: choose another --out{resume}")

    def _only_created(self) -> bool:
        """Return whether the folder holds nothing but what `create` wrote, which writes the preprocessing first."""
        files = [path for path in self.folder.iterdir() if path.name != LOCK and not path.match(".*.part")]
        return not files or (self.preprocessing in files and {*files} <= {self.preprocessing, self.folder / "recipe.toml"})

    def check_resumable(self) -> None:
        """Raise `RunError` unless the run can be resumed."""
        if self.model.exists():
            raise RunError(f"the run '{self.folder}' has ended: nin-onnx export {self.typed}")
        if not self.folder.is_dir():
            raise RunError(f"'{self.folder}' is not a run folder: make one with nin-onnx train RECIPE --out {self.typed}")
        if not self.state.exists():
            raise RunError(f"'{self.folder}' holds no state.safetensors to resume from: train it afresh with another --out")

    def create(self, recipe: Recipe, write_preprocessing: Callable[[Path], None]) -> None:
        """Make the folder with preprocessing and recipe; raise `RunError` if it holds anything."""
        self.check_new()
        self.clear()
        write_preprocessing(self.preprocessing)
        atomic.write_text(self.folder / "recipe.toml", to_toml(recipe))

    def discard(self) -> None:
        """Remove the files of a run that failed in its first epoch."""
        for file in (self.state, self.preprocessing, self.folder / "recipe.toml", self.folder / "metrics.csv"):
            file.unlink(missing_ok=True)
        self.clear()

    def clear(self) -> None:
        """Remove the temporary files of a process that was killed while it wrote."""
        for file in self.folder.glob(".*.part"):
            file.unlink(missing_ok=True)

    def write_metrics(self, epochs: list[Epoch]) -> None:
        """Write `metrics.csv`, whole."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(Epoch.__dataclass_fields__), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _readable(value) for key, value in vars(epoch).items()} for epoch in epochs)
        atomic.write_text(self.folder / "metrics.csv", text.getvalue())

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Write `summary.json`."""
        atomic.write_json(self.folder / "summary.json", summary)


def _readable(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
