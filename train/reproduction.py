"""Run after run, unattended: what is missing is trained, what was interrupted goes on, and all that has ended is collected.

results/NAME.json    the summary of each run that has ended, as the ledger reads it
runs/NAME/           its folder: weights, metrics, the exported graph; or, while it is under way, what it goes on from
"""

import gc
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nin_onnx import atomic
from nin_onnx.errors import Interrupted, NinOnnxError
from nin_onnx.train.recipe import Recipe
from nin_onnx.train.seeds import train_whatever_is_left
from nin_onnx.train.trainer import Echo

__all__ = ["Reproduction", "Task", "reproduce"]


@dataclass(frozen=True)
class Task:
    """A run to be had."""

    recipe: Recipe
    seed: int

    @property
    def name(self) -> str:
        return f"{self.recipe.name}-seed{self.seed}"


@dataclass
class Reproduction:
    """How far it came."""

    finished: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The summary of each run that has ended, now or before, by its name."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why a run did not end, or could not be exported."""
    left: list[str] = field(default_factory=list)
    """Runs that were not begun or not ended when it was stopped."""
    stopped: str | None = None
    """By what, where it was."""


def reproduce(
    tasks: Sequence[Task], folder: Path, *, export: Callable[[Path], None], deadline: float, echo: Echo, **how: Any
) -> Reproduction:
    """Do `tasks` one after the other into `folder`, until all are done or `deadline`, by `time.monotonic`, has come.

    A task that fails, in whatever way, does not stop the others; called again, all goes on where it was. `export` is given
    each run folder that has ended, also those that it was given before. `how` are further keywords of `trainer.resume`.
    """
    done = Reproduction()
    for number, task in enumerate(tasks, 1):
        if not done.stopped and time.monotonic() >= deadline:
            done.stopped = "the time is up"
        if done.stopped:
            done.left.append(task.name)
            continue
        echo(f"{task.name} ({number} of {len(tasks)})")
        run = folder / "runs" / task.name
        try:
            summary = train_whatever_is_left(task.recipe, run, task.seed, deadline=deadline, echo=echo, **how)
            _collect(summary, folder / "results" / f"{task.name}.json")
            done.finished[task.name] = summary
            if time.monotonic() < deadline:
                export(run)
            else:  # said here: there may be no next run that would say it
                done.stopped = "the time is up"
        except (Interrupted, KeyboardInterrupt) as error:
            done.stopped = "the time is up" if time.monotonic() >= deadline else "stopped"
            if task.name not in done.finished:
                done.left.append(task.name)
            echo(str(error))
        except Exception as error:  # out of memory, say: nobody is there to begin the next one
            reason = str(error) if isinstance(error, NinOnnxError) else f"{type(error).__name__}: {error}"
            done.failed[task.name] = " ".join(reason.split())
            echo(f"failed: {done.failed[task.name]}")
        gc.collect()  # a learner and its CUDA graph hold each other, and the device's memory
    return done


def _collect(summary: dict[str, Any], file: Path) -> None:
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        atomic.write_text(file, text)
