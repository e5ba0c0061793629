"""A run that is written: its folder while a training works in it."""

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nin_onnx import atomic
from nin_onnx.errors import RunError
from nin_onnx.recipe import Recipe, to_toml
from nin_onnx.run import Epoch, Run

__all__ = ["WritableRun"]

LOCK = ".lock"  # in the folder while a process trains there, and after one that was killed, whose lock is gone with it


class WritableRun(Run):
    """The folder of one training, while that writes it."""

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
            resume = f", or go on with it: nin-onnx train --resume {self.typed}" if self.state.exists() else ""
            raise RunError(f"'{self.folder}' is there already, and nothing is overwritten: choose another --out{resume}")

    def _begun_at_most(self) -> bool:
        """Whether all that the folder holds is what `create` wrote, the preprocessing first."""
        files = [path for path in self.folder.iterdir() if path.name != LOCK and not path.match(".*.part")]
        return not files or (self.preprocessing in files and {*files} <= {self.preprocessing, self.folder / "recipe.toml"})

    def check_resumable(self) -> None:
        """Raise `RunError` unless the run can go on."""
        if self.model.exists():
            raise RunError(f"the run '{self.folder}' has ended: nin-onnx export {self.typed}")
        if not self.folder.is_dir():
            raise RunError(f"'{self.folder}' is no run folder: make one with nin-onnx train RECIPE --out {self.typed}")
        if not self.state.exists():
            raise RunError(f"'{self.folder}' holds no state.safetensors to resume from: train it afresh with another --out")

    def create(self, recipe: Recipe, write_preprocessing: Callable[[Path], None]) -> None:
        """Make the folder, and write preprocessing and recipe into it; raises `RunError` for one that holds anything."""
        self.check_new()
        self.clear()
        write_preprocessing(self.preprocessing)
        atomic.write_text(self.folder / "recipe.toml", to_toml(recipe))

    def discard(self) -> None:
        """Remove what a run wrote that came to nothing."""
        for file in (self.state, self.preprocessing, self.folder / "recipe.toml", self.folder / "metrics.csv"):
            file.unlink(missing_ok=True)
        self.clear()

    def clear(self) -> None:
        """Remove what a process that was killed while it wrote has left behind."""
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
        atomic.write_text(self.folder / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")


def _readable(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
