"""Where a reproduction stands: which runs are done, running, dead and left, read from its folder at any time."""

import contextlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nin_onnx import atomic
from nin_onnx.errors import NinOnnxError
from nin_onnx.recipe import read as read_toml
from nin_onnx.results import collapses
from nin_onnx.results.collapses import Collapse
from nin_onnx.train.progress import duration
from nin_onnx.train.writable_run import WritableRun

__all__ = ["Standing", "line", "locked", "read", "table", "write"]

PROGRESS = "progress.json"
LOCK = ".lock"  # in the folder while a process works there
PATIENCE = 5.0  # seconds: a look at the lock holds it for a moment
ORDER = ("done", "running", "dead", "failed", "interrupted", "left")


@dataclass(frozen=True)
class Standing:
    """Where one run stands; what is not known, or has no meaning in its state, is None."""

    run: str
    state: str
    """`done`, `running`, `dead`, `failed`, `interrupted` (goes on the next time) or `left`."""
    epoch: int | None = None
    """The last that is over, of `epochs`."""
    epochs: int | None = None
    error: float | None = None
    """In per cent, and of which images: the test's if that is known, else the validation's, else the training's."""
    judged: str | None = None
    images_per_second: float | None = None
    seconds: float | None = None
    """That it took if it is done, that are left if it runs."""
    reason: str | None = None
    """Why it is dead or failed."""
    step: int | None = None
    """At which it was found dead."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from working in `folder`; raises `NinOnnxError` if one does."""
    from filelock import FileLock, Timeout  # comes with torch

    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=PATIENCE, poll_interval=0.1)
    except Timeout as error:
        raise NinOnnxError(
            f"another nin-onnx reproduce works in '{folder}': see it with --status, stop it first, or choose another --out"
        ) from error
    except (OSError, NotImplementedError):
        pass  # a disk without locks; where nothing can be written, what is to be kept says so
    try:
        yield
    finally:
        lock.release()


def write(folder: Path, wanted: Sequence[str], running: Sequence[str], failed: Mapping[str, str]) -> None:
    """Note which runs are wanted, which of them run, and why others failed."""
    text = json.dumps({"wanted": wanted, "running": running, "failed": failed}, indent=2, ensure_ascii=False) + "\n"
    file = folder / PROGRESS
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        atomic.write_text(file, text)


def read(folder: Path) -> list[Standing]:
    """Return where each run in `folder` stands, by state; raises `NinOnnxError` if nothing was begun there."""
    try:
        noted = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
        wanted, running, failed = list(noted["wanted"]), list(noted["running"]), dict(noted["failed"])
    except FileNotFoundError as error:
        raise NinOnnxError(f"nothing was begun in '{folder}': name the --out of a nin-onnx reproduce") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NinOnnxError(f"'{folder / PROGRESS}' cannot be read: the next nin-onnx reproduce writes it anew") from error
    if running and not _at_work(folder):
        running = []
    dead = {f"{collapse.recipe.name}-seed{collapse.seed}": collapse for collapse in collapses.read(folder / "results")}
    found = [_standing(folder, name, running, failed, dead) for name in dict.fromkeys([*wanted, *dead])]
    return sorted(found, key=lambda one: ORDER.index(one.state))


def _standing(
    folder: Path, name: str, running: Sequence[str], failed: Mapping[str, str], dead: Mapping[str, Collapse]
) -> Standing:
    run = WritableRun(folder / "runs" / name)
    try:
        if run.model.exists() and name not in running:
            return _done(name, run.summary(), failed.get(name))
    except (NinOnnxError, KeyError, TypeError) as error:
        return Standing(name, "failed", reason=str(error))
    if name in dead:
        return Standing(name, "dead", step=dead[name].step, reason=str(dead[name].summary["reason"]))
    state = "running" if name in running else "failed" if name in failed else "interrupted" if run.state.exists() else "left"
    try:
        total = int(read_toml(run.folder / "recipe.toml")["train"]["epochs"])
        epochs = run.read_metrics()
    except (NinOnnxError, KeyError, TypeError, ValueError):  # it still loads its data, or has no epoch behind it
        return Standing(name, state, reason=failed.get(name))
    last = epochs[-1]
    left = (total - last.epoch) * sum(one.seconds for one in epochs) / len(epochs)
    judged, per_cent = _judged(vars(last))
    return Standing(name, state, last.epoch, total, per_cent, judged, last.images_per_second, left, failed.get(name))


def _done(name: str, summary: Mapping[str, Any], reason: str | None) -> Standing:
    judged, error = _judged({**summary, "test_error": summary.get("test", {}).get("error")})
    epochs, speed, seconds = (summary[key] for key in ("epochs", "images_per_second", "seconds"))
    return Standing(name, "done", epochs, epochs, error, judged, speed, seconds, reason)


def _judged(figures: Mapping[str, Any]) -> tuple[str, float]:
    """Return of which images the error is known, and the error."""
    kind = next((kind for kind in ("test", "validation", "train") if figures.get(f"{kind}_error") is not None), None)
    if kind is None:
        raise KeyError("error")
    return kind, figures[f"{kind}_error"]


def line(standings: Sequence[Standing]) -> str:
    """Return where all of it stands, in one line."""
    counts = Counter(one.state for one in standings)
    said = [f"{counts[state]} {state}" for state in ORDER if counts[state]]
    running = [
        f"{one.run} {one.epoch}/{one.epochs}, {duration(one.seconds)} left" if one.seconds is not None else f"{one.run} begins"
        for one in standings
        if one.state == "running"
    ]
    return "; ".join([", ".join(said) or "nothing is wanted", *running])


def table(standings: Sequence[Standing], width: int) -> str:
    """Return a line for each run or, if one of them is longer than `width`, two."""
    rows = [_cells(one) for one in standings]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    sides = "<<>>>>"
    padded = [[f"{cell:{side}{size}}" for cell, side, size in zip(row, sides, widths, strict=True)] for row in rows]
    if sum(widths) + 2 * len(widths) <= width:
        return "\n".join("  ".join(row).rstrip() for row in padded)
    return "\n".join(f"{state}  {run.rstrip()}\n  {'  '.join(rest)}".rstrip() for state, run, *rest in padded)


def _cells(one: Standing) -> tuple[str, ...]:
    epoch = f"{one.epoch}/{one.epochs}" if one.epoch is not None else f"step {one.step}" if one.step is not None else ""
    error = f"{one.judged} {one.error:.2f} %" if one.error is not None else ""
    speed = f"{one.images_per_second:,.0f} images/s" if one.images_per_second is not None else ""
    time_ = "" if one.seconds is None else duration(one.seconds) + ("" if one.state == "done" else " left")
    return (one.state, one.run, epoch, error, speed, time_)


def _at_work(folder: Path) -> bool:
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return True  # nobody can tell: believe what was noted
    lock.release()
    return False
