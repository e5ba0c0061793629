"""A run's curves, and how its errors compare with the paper's Figure 3 over the same epochs."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.errors import RunError
from nin_onnx.paper import figure3
from nin_onnx.run import Epoch, Run

__all__ = ["Comparison", "Curves", "compare", "compare_training", "read"]

LAST = 5
"""Measured epochs that are averaged: the error of one alone is noisy."""
TRAINED = (24, 80, 200)
"""Epochs whose training error is compared: early, halfway down, and the last that Figure 3 has."""


@dataclass(frozen=True)
class Curves:
    """What a run recorded, epoch by epoch."""

    folder: Path
    recipe: str
    experiment: str | None
    """The published experiment that the run repeats, by the paper's protocol: with a rate that falls in steps."""
    epochs: Sequence[Epoch]

    def measured(self, column: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The epochs in which `column` of `metrics.csv` was measured, and its values."""
        points = [(epoch.epoch, value) for epoch in self.epochs if (value := getattr(epoch, column)) is not None]
        return np.array([epoch for epoch, _ in points], np.int64), np.array([value for _, value in points], np.float64)


@dataclass(frozen=True)
class Comparison:
    """A run's mean error over some epochs beside that of a curve of Figure 3, both in per cent."""

    run: str
    recipe: str
    error: str
    """Of which images: `train` or `test`; or `validation`, beside the paper's test, if our test error was not recorded."""
    first_epoch: int
    last_epoch: int
    ours: float
    paper: float
    difference: float
    """Ours less the paper's, in points."""


def read(folder: Path) -> Curves:
    """The curves of the run in `folder`, from its `metrics.csv` and `recipe.toml` alone; raises `RunError`."""
    epochs = Run(folder).read_metrics()
    file = folder / "recipe.toml"
    try:
        recipe: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))  # unchecked: any version's recipe has curves
        name, experiment = recipe["name"], recipe.get("experiment")
        protocol = recipe.get("schedule", {}).get("kind", "stepped") == "stepped"
        if not isinstance(name, str) or not isinstance(experiment, str | None):
            raise ValueError("name and experiment are not strings")
    except KeyError as error:
        raise RunError(f"'{file}' has no key {error}: give the folder of a run that nin-onnx train made") from error
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(
            f"'{file}' is not the recipe of a run ({error}): give the folder of a run that nin-onnx train made"
        ) from error
    return Curves(folder, name, experiment if protocol else None, epochs)


def compare(curves: Curves) -> Comparison | None:
    """The run's error over its last five measured epochs that Figure 3 covers; None where the figure has no such run.

    The figure's points are joined by straight lines, and averaged over the same epochs.
    """
    figure = figure3(curves.experiment)
    if figure is None:
        return None
    paper_epochs, paper_errors = zip(*figure.test, strict=True)
    for error in ("test", "validation"):
        epochs, errors = curves.measured(f"{error}_error")
        covered = epochs <= paper_epochs[-1]
        epochs, errors = epochs[covered][-LAST:], errors[covered][-LAST:]
        if epochs.size:
            ours, paper = fmean(errors), fmean(np.interp(epochs, paper_epochs, paper_errors))
            first, last = int(epochs[0]), int(epochs[-1])
            return Comparison(str(curves.folder), curves.recipe, error, first, last, ours, paper, ours - paper)
    return None


def compare_training(curves: Curves) -> list[Comparison]:
    """Return the run's training error beside Figure 3's, at those of the epochs 24, 80 and 200 that it has behind it.

    Both are errors of the training pass itself, with dropout if there is any. Empty if the figure has no such run.
    """
    figure = figure3(curves.experiment)
    if figure is None:
        return []
    paper_epochs, paper_errors = zip(*figure.train, strict=True)
    epochs, errors = curves.measured("train_error")
    compared = np.isin(epochs, TRAINED)
    epochs, errors = epochs[compared], errors[compared]
    papers = np.interp(epochs, paper_epochs, paper_errors)
    return [
        Comparison(str(curves.folder), curves.recipe, "train", epoch, epoch, ours, paper, ours - paper)
        for epoch, ours, paper in zip(epochs.tolist(), errors.tolist(), papers.tolist(), strict=True)
    ]
