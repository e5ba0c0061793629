"""The status of a reproduction: which runs are done, running, dead and left, read from its folder at any time."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nin_onnx import atomic
from nin_onnx.errors import NinOnnxError
from nin_onnx.recipe import read as read_toml
from nin_onnx.results import collapses
from nin_onnx.results.collapses import Collapse
from nin_onnx.run import Run
from nin_onnx.train.lock import is_locked
from nin_onnx.train.progress import duration

__all__ = ["RunStatus", "line", "read", "table", "write"]

PROGRESS = "progress.json"
ORDER = ("done", "running", "dead", "failed", "interrupted", "left")


@dataclass(frozen=True)
class RunStatus:
    """The status of one run; what is not known, or has no meaning in its state, is None."""

    run: str
    state: str
    """`done`, `running`, `dead` (collapsed), `failed`, `interrupted` (will be resumed) or `left`."""
    epoch: int | None = None
    """The last finished one, of `epochs`."""
    epochs: int | None = None
    error: float | None = None
    """In per cent: of the test if that is known, else of the validation, else of the training."""
    judged: str | None = None
    """Which of them it is: `test`, `validation` or `train`."""
    images_per_second: float | None = None
    seconds: float | None = None
    """That it took if it is done, that are left if it is running."""
    reason: str | None = None
    """Why it is dead or failed."""
    step: int | None = None
    """At which the collapse was found."""


def write(folder: Path, wanted: Sequence[str], running: Sequence[str], failed: Mapping[str, str]) -> None:
    """Note which runs are wanted, which of them run, and why others failed."""
    atomic.write_json(folder / PROGRESS, {"wanted": wanted, "running": running, "failed": failed})


def read(folder: Path) -> list[RunStatus]:
    """Return the status of each run in `folder`, by state; raise `NinOnnxError` if nothing was begun there."""
    try:
        noted = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
        wanted, running, failed = list(noted["wanted"]), list(noted["running"]), dict(noted["failed"])
    except FileNotFoundError as error:
        raise NinOnnxError(f"nothing was begun in '{folder}': name the --out of a nin-onnx reproduce") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NinOnnxError(f"'{folder / PROGRESS}' cannot be read: the next nin-onnx reproduce writes it anew") from error
    if running and is_locked(folder) is False:  # the process that noted it was killed
        running = []
    dead = {f"{collapse.recipe.name}-seed{collapse.seed}": collapse for collapse in collapses.read(folder / "results")}
    found = [_status(folder, name, running, failed, dead) for name in dict.fromkeys([*wanted, *dead])]
    return sorted(found, key=lambda one: ORDER.index(one.state))


def _status(
    folder: Path, name: str, running: Sequence[str], failed: Mapping[str, str], dead: Mapping[str, Collapse]
) -> RunStatus:
    run = Run(folder / "runs" / name)
    try:
        if run.model.exists() and name not in running:
            return _done(name, run.summary(), failed.get(name))
    except (NinOnnxError, KeyError, TypeError) as error:
        return RunStatus(name, "failed", reason=str(error))
    if name in dead:
        return RunStatus(name, "dead", step=dead[name].step, reason=str(dead[name].summary["reason"]))
    state = "running" if name in running else "failed" if name in failed else "interrupted" if run.state.exists() else "left"
    try:
        total = int(read_toml(run.folder / "recipe.toml")["train"]["epochs"])
        epochs = run.read_metrics()
    except (NinOnnxError, KeyError, TypeError, ValueError):  # it still loads its data, or has no epoch behind it
        return RunStatus(name, state, reason=failed.get(name))
    last = epochs[-1]
    left = (total - last.epoch) * sum(one.seconds for one in epochs) / len(epochs)
    judged, per_cent = _judged(vars(last))
    return RunStatus(name, state, last.epoch, total, per_cent, judged, last.images_per_second, left, failed.get(name))


def _done(name: str, summary: Mapping[str, Any], reason: str | None) -> RunStatus:
    judged, error = _judged({**summary, "test_error": summary.get("test", {}).get("error")})
    epochs, speed, seconds = (summary[key] for key in ("epochs", "images_per_second", "seconds"))
    return RunStatus(name, "done", epochs, epochs, error, judged, speed, seconds, reason)


def _judged(figures: Mapping[str, Any]) -> tuple[str, float]:
    """Return of which images the error is known, and the error."""
    kind = next((kind for kind in ("test", "validation", "train") if figures.get(f"{kind}_error") is not None), None)
    if kind is None:
        raise KeyError("error")
    return kind, figures[f"{kind}_error"]


def line(statuses: Sequence[RunStatus]) -> str:
    """Return the status of all runs in one line."""
    counts = Counter(one.state for one in statuses)
    parts = [f"{counts[state]} {state}" for state in ORDER if counts[state]]
    running = [
        f"{one.run} {one.epoch}/{one.epochs}, {duration(one.seconds)} left" if one.seconds is not None else f"{one.run} begins"
        for one in statuses
        if one.state == "running"
    ]
    return "; ".join([", ".join(parts) or "nothing is wanted", *running])


def table(statuses: Sequence[RunStatus], width: int) -> str:
    """Return a line for each run or, if one of them is longer than `width`, two."""
    rows = [_cells(one) for one in statuses]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    sides = "<<>>>>"
    padded = [[f"{cell:{side}{size}}" for cell, side, size in zip(row, sides, widths, strict=True)] for row in rows]
    if sum(widths) + 2 * len(widths) <= width:
        return "\n".join("  ".join(row).rstrip() for row in padded)
    return "\n".join(f"{state}  {run.rstrip()}\n  {'  '.join(rest)}".rstrip() for state, run, *rest in padded)


def _cells(one: RunStatus) -> tuple[str, ...]:
    epoch = f"{one.epoch}/{one.epochs}" if one.epoch is not None else f"step {one.step}" if one.step is not None else ""
    error = f"{one.judged} {one.error:.2f} %" if one.error is not None else ""
    speed = f"{one.images_per_second:,.0f} images/s" if one.images_per_second is not None else ""
    time_ = "" if one.seconds is None else duration(one.seconds) + ("" if one.state == "done" else " left")
    return (one.state, one.run, epoch, error, speed, time_)
