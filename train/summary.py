"""The content of `summary.json`: results, data, settings and environment of a training."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from nin_onnx.data import Dataset
from nin_onnx.run import Epoch
from nin_onnx.train.environment import environment
from nin_onnx.train.learner import Learner
from nin_onnx.train.schedule import plateaus
from nin_onnx.verdict import measure

__all__ = ["summarize", "summarize_seeds"]

CLOCK = ("seconds", "images_per_second")  # of an epoch; the curve is the same however fast it was drawn


def summarize(
    learner: Learner, epochs: Sequence[Epoch], trained_on: Dataset, test: Dataset | None, wrong: int | None
) -> dict[str, Any]:
    """Return the summary of a run that has ended; `wrong` is the number of errors on `test`, if there is one."""
    recipe, last = learner.recipe, epochs[-1]
    seconds = sum(epoch.seconds for epoch in epochs)
    summary: dict[str, Any] = {
        "recipe": recipe.name,
        "experiment": recipe.experiment,
        "seed": learner.seed,
        "epochs": len(epochs),
        "seconds": round(seconds, 1),
        "images_per_second": round(len(trained_on) * len(epochs) / seconds, 1),
        "train_loss": last.train_loss,
        "train_error": last.train_error,
        "validation_error": last.validation_error,
        "dataset": trained_on.describe(),
        "settings": asdict(recipe),
        "stops": plateaus([epoch.train_error for epoch in epochs], recipe.schedule.patience, len(trained_on.classes))
        if recipe.schedule.kind == "plateau"
        else None,  # how often the training error stopped falling: at the first two of three the learning rate was lowered
        "curve": [{key: value for key, value in asdict(epoch).items() if key not in CLOCK} for epoch in epochs],
    }
    if test is not None and wrong is not None:
        accuracy = measure(wrong, len(test), test.describe(), None)
        interval = {"low": accuracy.low, "high": accuracy.high}
        summary["test"] = {**test.describe(), "errors": wrong, "error": accuracy.error, **interval}
    return {**summary, "processes": learner.group.size, **environment(learner.device, learner.dtype)}


def summarize_seeds(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard deviation (of a sample, n - 1) of the errors, in per cent, and the summaries they are of."""
    split = "test" if all("test" in summary for summary in summaries) else "validation"
    errors = [summary["test"]["error"] if split == "test" else summary["validation_error"] for summary in summaries]
    return {
        "recipe": summaries[0]["recipe"],
        "seeds": [summary["seed"] for summary in summaries],
        f"{split}_error": {
            "mean": statistics.mean(errors),
            "standard_deviation": statistics.stdev(errors) if len(errors) > 1 else None,
            "each": errors,
        },
        "runs": list(summaries),
    }
