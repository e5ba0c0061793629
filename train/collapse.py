"""Describes a training that collapsed, and writes the description next to the results."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nin_onnx import atomic, machine
from nin_onnx.errors import TrainingError
from nin_onnx.recipe import Recipe
from nin_onnx.results.collapses import FOLDER, Collapse
from nin_onnx.train import device
from nin_onnx.train.summary import PACKAGES

__all__ = ["describe", "record"]


def describe(recipe: Recipe, error: TrainingError, on: str) -> dict[str, Any]:
    """Describe the collapse of a training that ran here by `recipe`, but for its seed."""
    where = device.choose(on)
    return {
        "step": error.step,
        "reason": str(error),
        "device": device.name(where),
        "precision": str(device.precision(recipe.train.precision, where)).removeprefix("torch."),
        "hardware": machine.hardware(),
        "versions": machine.versions(PACKAGES),
        "commit": machine.commit(),
    }


def record(results: Path, recipe: Recipe, seed: int, described: Mapping[str, Any]) -> Collapse:
    """Write the collapse of `seed` into `results`/dead."""
    collapse = Collapse({"recipe": recipe.name, "seed": seed, **described, "settings": asdict(recipe)})
    text = json.dumps(collapse.summary, indent=2, ensure_ascii=False) + "\n"
    atomic.write_text(results / FOLDER / f"{recipe.name}-seed{seed}.json", text)
    return collapse
