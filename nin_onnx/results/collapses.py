"""Trainings that collapsed: a file for each, so that their seeds are not tried again and nobody wonders why they are absent."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nin_onnx.errors import NinOnnxError
from nin_onnx.recipe import Recipe, from_dict
from nin_onnx.results import made_by

__all__ = ["FOLDER", "Collapse", "read"]

FOLDER = "dead"
"""Where they lie, next to the summaries of the runs that ended."""
KEYS = {"recipe", "seed", "step", "reason", "settings", "device", "precision", "hardware", "versions", "commit"}


@dataclass(frozen=True)
class Collapse:
    """A training that collapsed, as its file describes it. Its seed is dead with these settings only."""

    summary: Mapping[str, Any]

    @cached_property
    def recipe(self) -> Recipe:
        """What it was trained by."""
        return from_dict(self.summary["settings"], "settings")

    @property
    def seed(self) -> int:
        return int(self.summary["seed"])

    @property
    def step(self) -> int | None:
        """When the collapse was found, counted from the start of the training; None if that was not noted."""
        step = self.summary["step"]
        return None if step is None else int(step)


def read(results: Path) -> list[Collapse]:
    """Return the collapses in `results`/dead, by recipe and seed; none if there is no such folder. Raises `NinOnnxError`."""
    return sorted(_read(results / FOLDER), key=lambda collapse: (collapse.recipe.name, collapse.seed))


def _read(folder: Path) -> Iterator[Collapse]:
    for path in folder.glob("*.json"):
        try:
            collapse = Collapse(json.loads(path.read_text(encoding="utf-8")))
            if not collapse.summary.keys() >= KEYS or collapse.summary["recipe"] != collapse.recipe.name:
                raise KeyError
            made_by.program(collapse.summary)
            yield Collapse({**collapse.summary, "seed": collapse.seed, "step": collapse.step})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, NinOnnxError) as error:
            raise NinOnnxError(
                f"'{path}' does not describe a training that collapsed: copy it anew from the --out of nin-onnx reproduce, "
                "or remove it"
            ) from error
