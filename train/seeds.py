"""Trains one recipe with several seeds, each begun, resumed or left as it is, depending on how far it came."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from nin_onnx import atomic
from nin_onnx.errors import Interrupted, RunError, TrainingError
from nin_onnx.recipe import Recipe
from nin_onnx.train import device, process_group, trainer
from nin_onnx.train.running import Echo
from nin_onnx.train.summary import summarize_seeds
from nin_onnx.train.writable_run import WritableRun

__all__ = ["stage", "train_or_resume", "train_seeds"]


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

    Finished runs are left as they are and interrupted ones are resumed, so the same call can be repeated. A training that
    collapses does not stop the others: the summary's `died` has the reason of each, by its seed. Raise what `train` raises,
    `TrainingError` only if all collapsed, and `RunError` if `folder` holds another recipe's runs.
    """
    how: dict[str, Any] = {"data_dir": data_dir, "on": on, "deterministic": deterministic, "echo": echo}
    summaries: list[dict[str, Any]] = []
    collapsed: dict[str, str] = {}
    where = device.choose(on)
    device.set_up(where, deterministic=deterministic)
    with process_group.joined(where) as group:
        for seed in seeds:
            if group.is_main:
                echo(f"seed {seed}")
            try:
                summaries.append(train_or_resume(recipe, folder / f"seed{seed}", seed, **how))
            except TrainingError as error:  # in a group all raise it together
                collapsed[str(seed)] = str(error)
                if group.is_main:
                    echo(f"failed: {error}")
            except Interrupted as error:  # its cause decides whether the other processes of a group stop too
                raise Interrupted(f"{error}; the command as it was given resumes all seeds") from error.__cause__
    if not summaries:
        reasons = "; ".join(f"{seed}: {reason}" for seed, reason in collapsed.items())
        raise TrainingError(f"the training collapsed with every seed: {reasons}")
    summary = {**summarize_seeds(summaries), "died": collapsed}
    if group.is_main:
        atomic.write_json(folder / "summary.json", summary)
    return summary


def train_or_resume(recipe: Recipe, folder: Path, seed: int, **how: Any) -> dict[str, Any]:
    """Begin the run `folder`, resume it, or leave it as it is if it has ended; return its summary.

    `how` are the keywords of `trainer.resume`. Raise what `train` raises, and `RunError` if `folder` is another recipe's.
    """
    match stage(recipe, folder):
        case "ended":
            return WritableRun(folder).summary()
        case "begun":
            return trainer.resume(folder, **how)
        case "new":
            return trainer.train(recipe, folder, seed=seed, **how)


def stage(recipe: Recipe, folder: Path) -> Literal["new", "begun", "ended"]:
    """Return how far the run `folder` has come; raise `RunError` if it is another recipe's."""
    run = WritableRun(folder)
    ended = run.model.exists()
    if not ended and not run.state.exists():
        return "new"
    if run.recipe() != recipe:
        raise RunError(f"'{run.folder}' is a run of another recipe: choose another --out")
    return "ended" if ended else "begun"
