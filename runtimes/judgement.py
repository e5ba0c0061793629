"""Turns the answers of the worker processes into the rows of the report."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.data.dataset import Dataset
from nin_onnx.eight_bits.findings import Saturation
from nin_onnx.golden import Golden
from nin_onnx.paper import Published
from nin_onnx.runtimes.backends.base import RuntimeInfo
from nin_onnx.runtimes.backends.registry import RUNTIMES
from nin_onnx.runtimes.parity import allowed, compare, defect, margins
from nin_onnx.runtimes.probes import examine
from nin_onnx.runtimes.references import EXACT
from nin_onnx.runtimes.report import LabelChanges, Row
from nin_onnx.runtimes.workers.job import Result
from nin_onnx.statistics import mcnemar_test
from nin_onnx.verdict import measure

__all__ = ["Expected", "explained", "judge"]


@dataclass(frozen=True, eq=False)
class Expected:
    """What every runtime is measured by."""

    golden: Golden
    golden_problem: str | None
    """Why the golden vectors cannot be trusted; then nothing passes."""
    dataset: Dataset | None
    classes: int
    figure: Published | None
    tolerance: float | None = None
    """Instead of the one for the precision that ran."""
    precision: str | None = None
    """Of the graph's weights."""


def judge(answers: Mapping[str, Result], expected_: Expected, *, required: Collection[str]) -> tuple[Row, ...]:
    """A row for each answer; label changes are counted against the first in the registry that passed on the data set.

    Golden vectors come in small batches. What is wrong in larger ones alone shows here: labels that change by more than
    the tolerances of both runtimes fail.
    """
    rows = {name: _row(name, name in required, answer, expected_) for name, answer in answers.items()}
    first = next((name for name in RUNTIMES if name in rows and rows[name].outcome == "pass" and rows[name].accuracy), None)
    for name, row in rows.items():
        if first is not None and name != first and row.accuracy:
            images = min(len(_labels(answers[name])), len(_labels(answers[first])))
            changes = _changes(name, first, answers, rows, images, expected_)
            problem = _contradiction(changes, row.facts, rows[first].facts, expected_)
            rows[name] = replace(_failed(row, problem) if problem else row, label_changes=changes)
    return tuple(rows.values())


def explained(row: Row, saturation: Saturation | None) -> Row:
    """Return `row` with the likely reason, if its outputs are wrong and it multiplied 8-bit numbers where they saturate."""
    instructions = (row.facts and row.facts.instructions) or ()
    vulnerable = "AVX2" in instructions and not {"VNNI", "AVX-VNNI"} & {*instructions}
    native = row.facts is not None and row.facts.precision == "int8" and row.runtime != EXACT
    wrong = row.outcome == "fail" and row.parity is not None and row.parity.problem is not None
    if not (vulnerable and native and wrong and saturation and saturation.saturates):
        return row
    return _failed(row, f"likely saturation: this processor has no VNNI, and the model {saturation.emulation}")


def _contradiction(
    changes: LabelChanges, facts: RuntimeInfo | None, others: RuntimeInfo | None, expected_: Expected
) -> str | None:
    """Why two runtimes that compute in float32 cannot both be right; rougher arithmetic is left to the McNemar test."""
    precisions = (expected_.precision, *(fact.precision for fact in (facts, others) if fact))
    if changes.margin is None or any(precision not in (None, "fp32") for precision in precisions):
        return None
    most = _tolerance(facts, expected_) + _tolerance(others, expected_)
    if changes.margin <= most:
        return None
    return (
        f"{changes.changes} of {changes.images} labels of the data set are not those of {changes.against}, "
        f"which had decided them by up to {changes.margin:.1e}, at most {most:g} is allowed"
    )


def _failed(row: Row, problem: str) -> Row:
    return replace(row, outcome="fail", reason="; ".join(filter(None, (row.reason, problem))))


def _tolerance(facts: RuntimeInfo | None, expected_: Expected) -> float:
    return allowed(facts, expected_.precision) if expected_.tolerance is None else expected_.tolerance


def _changes(
    name: str, first: str, answers: Mapping[str, Result], rows: Mapping[str, Row], images: int, expected_: Expected
) -> LabelChanges:
    """On which of the first `images` of the data set `name` decides otherwise than `first`, and what that says."""
    given, expected = (_logits(answers[one])[:images] for one in (name, first))
    led = margins(given, expected)
    scale = float(np.abs(expected).max()) or 1.0
    facts = [rows[one].facts for one in (name, first)]
    chance = None
    if expected_.dataset and len({fact.precision for fact in facts if fact and fact.precision}) > 1:
        truth = expected_.dataset.labels[:images]
        right, first_right = given.argmax(1) == truth, expected.argmax(1) == truth
        chance = mcnemar_test(int(np.count_nonzero(right & ~first_right)), int(np.count_nonzero(first_right & ~right)))
    return LabelChanges(len(led), images, first, chance, float(led.max() / scale) if len(led) else None)


def _row(name: str, named: bool, answer: Result, expected_: Expected) -> Row:
    """One runtime's row: it passes if all it gives is sound and agrees with the golden vectors."""
    if answer.outcome != "done":
        return Row(name, named, answer.outcome, answer.reason, answer.install)
    parity = compare(answer.feeds["golden"].arrays, expected_.golden, _tolerance(answer.facts, expected_))
    tried = {name: outputs.arrays for name, outputs in answer.feeds.items() if name not in ("golden", "dataset")}
    parity = examine(parity, tried, expected_.golden)
    problems = [expected_.golden_problem or parity.problem]
    accuracy = None
    if expected_.dataset:
        outputs = answer.feeds["dataset"]
        images = sum(size for size, _ in outputs.batches)
        problem = defect(outputs.arrays, "logits", (images, expected_.classes))
        problems.append(problem)
        if problem is None:
            errors = np.count_nonzero(_labels(answer) != expected_.dataset.labels[:images])
            accuracy = measure(int(errors), images, expected_.dataset.describe(), expected_.figure)
    reasons = dict.fromkeys(problem for problem in problems if problem)  # the same on both is said once
    return Row(
        name,
        named,
        outcome="fail" if reasons else "pass",
        reason="; ".join(reasons) or None,
        facts=answer.facts,
        parity=parity,
        accuracy=accuracy,
        images_per_second=_speed(answer),
        memory=answer.memory,
    )


def _labels(answer: Result) -> NDArray[np.int64]:
    """What a runtime decided for each image of the data set."""
    labels: NDArray[np.int64] = _logits(answer).argmax(1)
    return labels


def _logits(answer: Result) -> NDArray[Any]:
    return answer.feeds["dataset"].arrays["logits"]


def _speed(answer: Result) -> float | None:
    """Images a second: the median over the batches of the data set, but for the first, which warms up."""
    if "dataset" not in answer.feeds:
        return None
    batches = answer.feeds["dataset"].batches
    return median(images / seconds for images, seconds in batches[1:] or batches)
