"""Turns the results of the worker processes into the rows of the report."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.data.dataset import Dataset
from nin_onnx.golden import Golden
from nin_onnx.paper import Published
from nin_onnx.precision import FP32
from nin_onnx.runtimes.backends.base import RuntimeInfo
from nin_onnx.runtimes.backends.registry import RUNTIMES
from nin_onnx.runtimes.parity import allowed, compare, defect, margins
from nin_onnx.runtimes.probes import examine
from nin_onnx.runtimes.rows import LabelChanges, Row
from nin_onnx.runtimes.workers.job import Result
from nin_onnx.statistics import mcnemar_test
from nin_onnx.verdict import measure

__all__ = ["Expected", "judge"]


@dataclass(frozen=True, eq=False)
class Expected:
    """What every runtime is measured by."""

    golden: Golden
    golden_problem: str | None
    """Why the golden vectors cannot be trusted; then nothing passes."""
    references: tuple[str, str] | None
    """The runtimes that agreed on them, if none lay next to the model."""
    dataset: Dataset | None
    classes: int
    figure: Published | None
    tolerance: float | None = None
    """Instead of the one for the precision that ran."""
    precision: str | None = None
    """Of the graph's weights."""


def judge(results: Mapping[str, Result], expected: Expected, *, named: Collection[str]) -> tuple[Row, ...]:
    """A row for each result; label changes are counted against the first in the registry that passed on the data set.

    Golden vectors come in small batches. What is wrong in larger ones alone shows here: labels that change by more than
    the tolerances of both runtimes fail.
    """
    rows = {name: _row(name, name in named, result, expected) for name, result in results.items()}
    first = next((name for name in RUNTIMES if name in rows and rows[name].outcome == "pass" and rows[name].accuracy), None)
    for name, row in rows.items():
        if first is not None and name != first and row.accuracy:
            images = min(len(_labels(results[name])), len(_labels(results[first])))
            changes = _changes(name, first, results, rows, images, expected)
            problem = _contradiction(changes, row.facts, rows[first].facts, expected)
            rows[name] = replace(row.failed(problem) if problem else row, label_changes=changes)
    return tuple(rows.values())


def _contradiction(
    changes: LabelChanges, facts: RuntimeInfo | None, others: RuntimeInfo | None, expected: Expected
) -> str | None:
    """Why two runtimes that compute in float32 cannot both be right; rougher arithmetic is left to the McNemar test."""
    precisions = (expected.precision, *(fact.precision for fact in (facts, others) if fact))
    if changes.margin is None or any(precision not in (None, FP32.name) for precision in precisions):
        return None
    most = _tolerance(facts, expected) + _tolerance(others, expected)
    if changes.margin <= most:
        return None
    return (
        f"{changes.changes} of {changes.images} labels of the data set are not those of {changes.against}, "
        f"which had decided them by up to {changes.margin:.1e}, at most {most:g} is allowed"
    )


def _tolerance(facts: RuntimeInfo | None, expected: Expected) -> float:
    return allowed(facts, expected.precision) if expected.tolerance is None else expected.tolerance


def _changes(
    name: str, first: str, results: Mapping[str, Result], rows: Mapping[str, Row], images: int, expected: Expected
) -> LabelChanges:
    """On which of the first `images` of the data set `name` decides otherwise than `first`, and what that says."""
    given, theirs = (_logits(results[one])[:images] for one in (name, first))
    led = margins(given, theirs)
    scale = float(np.abs(theirs).max()) or 1.0
    facts = [rows[one].facts for one in (name, first)]
    chance = None
    if expected.dataset and len({fact.precision for fact in facts if fact and fact.precision}) > 1:
        truth = expected.dataset.labels[:images]
        right, first_right = given.argmax(1) == truth, theirs.argmax(1) == truth
        chance = mcnemar_test(int(np.count_nonzero(right & ~first_right)), int(np.count_nonzero(first_right & ~right)))
    return LabelChanges(len(led), images, first, chance, float(led.max() / scale) if len(led) else None)


def _row(name: str, named: bool, result: Result, expected: Expected) -> Row:
    """One runtime's row: it passes if all it gives is sound and agrees with the golden vectors."""
    if result.outcome != "done":
        return Row(name, named, result.outcome, result.reason, result.install)
    parity = compare(result.feeds["golden"].arrays, expected.golden, _tolerance(result.facts, expected))
    tried = {name: outputs.arrays for name, outputs in result.feeds.items() if name not in ("golden", "dataset")}
    parity = examine(parity, tried, expected.golden)
    problems = [expected.golden_problem or parity.problem]
    accuracy = None
    if expected.dataset:
        outputs = result.feeds["dataset"]
        images = sum(size for size, _ in outputs.batches)
        problem = defect(outputs.arrays, "logits", (images, expected.classes))
        problems.append(problem)
        if problem is None:
            errors = np.count_nonzero(_labels(result) != expected.dataset.labels[:images])
            accuracy = measure(int(errors), images, expected.dataset.describe(), expected.figure)
    reasons = dict.fromkeys(problem for problem in problems if problem)  # the same on both is said once
    return Row(
        name,
        named,
        outcome="fail" if reasons else "pass",
        reason="; ".join(reasons) or None,
        facts=result.facts,
        parity=parity,
        accuracy=accuracy,
        images_per_second=_speed(result),
        memory=result.memory,
    )


def _labels(result: Result) -> NDArray[np.int64]:
    """What a runtime decided for each image of the data set."""
    labels: NDArray[np.int64] = _logits(result).argmax(1)
    return labels


def _logits(result: Result) -> NDArray[Any]:
    return result.feeds["dataset"].arrays["logits"]


def _speed(result: Result) -> float | None:
    """Images a second: the median over the batches of the data set, but for the first, which warms up."""
    if "dataset" not in result.feeds:
        return None
    batches = result.feeds["dataset"].batches
    return median(images / seconds for images, seconds in batches[1:] or batches)
