"""One recipe with several seeds: a run for each, and their mean and standard deviation."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nin_onnx import atomic
from nin_onnx.errors import RunError
from nin_onnx.train import trainer
from nin_onnx.train.recipe import Recipe
from nin_onnx.train.run import Run
from nin_onnx.train.summary import over_seeds
from nin_onnx.train.trainer import Echo

__all__ = ["train_seeds"]


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
    Raises what `train` raises, and `RunError` where `folder` holds another recipe's runs.
    """
    how: dict[str, Any] = {"data_dir": data_dir, "on": on, "deterministic": deterministic, "echo": echo}
    summaries = []
    for seed in seeds:
        run = Run(folder / f"seed{seed}")
        begun = run.model.exists() or run.state.exists()
        if begun and run.recipe() != recipe:
            raise RunError(f"'{run.folder}' is a run of another recipe: choose another --out")
        echo(f"seed {seed}")
        if run.model.exists():
            summaries.append(run.summary())
        elif run.state.exists():
            summaries.append(trainer.resume(run.folder, **how))
        else:
            summaries.append(trainer.train(recipe, run.folder, seed=seed, **how))
    summary = over_seeds(summaries)
    atomic.write_text(folder / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    return summary
