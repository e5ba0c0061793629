"""Networks that died: a file for each, so that their seeds are not tried again and nobody wonders why they are absent."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nin_onnx import atomic, machine
from nin_onnx.errors import NinOnnxError, TrainingError
from nin_onnx.train import device, made_by
from nin_onnx.train.recipe import Recipe, from_dict
from nin_onnx.train.summary import PACKAGES

__all__ = ["FOLDER", "Death", "describe", "read", "record"]

FOLDER = "dead"
"""Where they lie, next to the summaries of the runs that ended."""
KEYS = {"recipe", "seed", "step", "reason", "settings", "device", "precision", "hardware", "versions", "commit"}


@dataclass(frozen=True)
class Death:
    """A network that died, as its file describes it. Its seed is dead with these settings only."""

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
        """When it was found dead, counted from the start of the training; None if that was not noted."""
        step = self.summary["step"]
        return None if step is None else int(step)


def describe(recipe: Recipe, error: TrainingError, on: str) -> dict[str, Any]:
    """Describe the death of a network that was trained here by `recipe`, but for its seed."""
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


def record(results: Path, recipe: Recipe, seed: int, described: Mapping[str, Any]) -> Death:
    """Write the death of `seed` into `results`/dead."""
    death = Death({"recipe": recipe.name, "seed": seed, **described, "settings": asdict(recipe)})
    text = json.dumps(death.summary, indent=2, ensure_ascii=False) + "\n"
    atomic.write_text(results / FOLDER / f"{recipe.name}-seed{seed}.json", text)
    return death


def read(results: Path) -> list[Death]:
    """Return the deaths in `results`/dead, by recipe and seed; none if there is no such folder. Raises `NinOnnxError`."""
    return sorted(_read((results / FOLDER).glob("*.json")), key=lambda death: (death.recipe.name, death.seed))


def _read(files: Iterable[Path]) -> Iterable[Death]:
    for path in files:
        try:
            death = Death(json.loads(path.read_text(encoding="utf-8")))
            if not death.summary.keys() >= KEYS or death.summary["recipe"] != death.recipe.name:
                raise KeyError
            made_by.program(death.summary)
            yield Death({**death.summary, "seed": death.seed, "step": death.step})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, NinOnnxError) as error:
            raise NinOnnxError(
                f"'{path}' does not describe a network that died: copy it anew from the --out of nin-onnx reproduce, or remove it"
            ) from error
