"""Runs that are trained, gone on with, or left as they are, as far as they came; one recipe with several seeds."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from nin_onnx import atomic
from nin_onnx.errors import Interrupted, RunError, TrainingError
from nin_onnx.recipe import Recipe
from nin_onnx.train import device, trainer
from nin_onnx.train import process_group as team
from nin_onnx.train.summary import over_seeds
from nin_onnx.train.under_way import Echo
from nin_onnx.train.writable_run import WritableRun

__all__ = ["how_far", "train_seeds", "train_whatever_is_left"]


def train_seeds(
    recipe: Recipe,
    folder: Path,
    seeds: Iterable[int],
    *,
    data_dir: Path | None = None,
    on: str = "auto",
    deterministic: bool = False,
    echo: Echo = print,
) -> dict[str, Any]:
    """Train `recipe` with each of `seeds` into `folder`/seedN, and write and return their summary.

    Runs that have ended are left as they are and those that were interrupted go on, so the same call can be given again.
    A network that dies does not stop the others: the summary's `died` has the reason of each, by its seed. Raises what
    `train` raises, `TrainingError` only where all died, and `RunError` where `folder` holds another recipe's runs.
    """
    how: dict[str, Any] = {"data_dir": data_dir, "on": on, "deterministic": deterministic, "echo": echo}
    summaries: list[dict[str, Any]] = []
    died: dict[str, str] = {}
    where = device.choose(on)
    device.set_up(where, deterministic=deterministic)
    with team.joined(where) as members:
        for seed in seeds:
            if members.is_main:
                echo(f"seed {seed}")
            try:
                summaries.append(train_whatever_is_left(recipe, folder / f"seed{seed}", seed, **how))
            except TrainingError as error:  # in a team all raise it together
                died[str(seed)] = str(error)
                if members.is_main:
                    echo(f"failed: {error}")
            except Interrupted as error:  # its cause tells whether the others of a team stop too
                raise Interrupted(f"{error}; what was given goes on with all seeds") from error.__cause__
    if not summaries:
        raise TrainingError(f"no seed lived: {'; '.join(f'{seed}: {reason}' for seed, reason in died.items())}")
    summary = {**over_seeds(summaries), "died": died}
    if members.is_main:
        atomic.write_text(folder / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    return summary


def train_whatever_is_left(recipe: Recipe, folder: Path, seed: int, **how: Any) -> dict[str, Any]:
    """Begin the run `folder`, go on with it, or leave it as it is if it has ended; return its summary.

    `how` are the keywords of `trainer.resume`. Raises what `train` raises, and `RunError` if `folder` is another recipe's.
    """
    match how_far(recipe, folder):
        case "ended":
            return WritableRun(folder).summary()
        case "begun":
            return trainer.resume(folder, **how)
        case "new":
            return trainer.train(recipe, folder, seed=seed, **how)


def how_far(recipe: Recipe, folder: Path) -> Literal["new", "begun", "ended"]:
    """Return how far the run `folder` has come; raises `RunError` if it is another recipe's."""
    run = WritableRun(folder)
    ended = run.model.exists()
    if not ended and not run.state.exists():
        return "new"
    if run.recipe() != recipe:
        raise RunError(f"'{run.folder}' is a run of another recipe: choose another --out")
    return "ended" if ended else "begun"
