"""Describes a training that collapsed, reads the description from its output, and writes it next to the results."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nin_onnx import atomic
from nin_onnx.errors import CheckFailedError, TrainingError
from nin_onnx.recipe import Recipe
from nin_onnx.results.collapses import FOLDER, Collapse
from nin_onnx.train import device
from nin_onnx.train.environment import environment

__all__ = ["describe", "record", "reported"]


def describe(recipe: Recipe, error: TrainingError, on: str) -> dict[str, Any]:
    """Describe the collapse of a training by `recipe` on this machine, without its seed."""
    where = device.choose(on)
    dtype = device.precision(recipe.train.precision, where)
    return {"step": error.step, "reason": str(error), **environment(where, dtype)}


def reported(exit_status: int | None, output: str) -> dict[str, Any] | None:
    """Return the description that `nin-onnx train --json` printed; None if the training did not collapse."""
    try:
        described = json.loads(output)["died"] if exit_status == CheckFailedError.exit_status else None
    except (ValueError, KeyError):
        return None
    return described if isinstance(described, dict) else None


def record(results: Path, recipe: Recipe, seed: int, described: Mapping[str, Any]) -> Collapse:
    """Write the collapse of `seed` into `results`/dead."""
    collapse = Collapse({"recipe": recipe.name, "seed": seed, **described, "settings": asdict(recipe)})
    atomic.write_json(results / FOLDER / f"{recipe.name}-seed{seed}.json", collapse.summary)
    return collapse
