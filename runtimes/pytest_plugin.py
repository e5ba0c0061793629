"""For the tests of others: `pytest_plugins = ["nin_onnx.runtimes.pytest_plugin"]` gives them the fixture `assert_parity`."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from nin_onnx.runtimes.criteria import Criteria
from nin_onnx.runtimes.evaluation import evaluate
from nin_onnx.runtimes.options import EvalOptions
from nin_onnx.runtimes.report import Report

__all__ = ["assert_parity"]

RENAMED = {"require": "required", "speed": "bench"}
"""Options that had another name."""


@pytest.fixture
def assert_parity() -> Callable[..., Report]:
    """`assert_parity(model, runtimes=["onnxruntime", "openvino"])` fails if one of them disagrees, crashes or is absent."""

    def check(model: str | Path, runtimes: Sequence[str] | None = None, **options: Any) -> Report:
        """Return the report; `options` are the fields of `nin_onnx.runtimes.EvalOptions` and of its `Criteria`."""
        __tracebackhide__ = True
        given = {RENAMED.get(name, name): value for name, value in options.items()}
        criteria = Criteria(**{item.name: given.pop(item.name) for item in fields(Criteria) if item.name in given})
        report = evaluate(Path(model), EvalOptions(**{"runtimes": runtimes, "criteria": criteria} | given))
        if not report:
            lines = [f"{row.runtime}: {row.outcome}: {row.reason}" for row in report.rows if row.outcome != "pass"]
            unmet = [str(one) for one in report.unmet if one.check != "outcome"]
            pytest.fail("\n".join([f"'{model}' does not give the same answers everywhere", *lines, *unmet]), pytrace=False)
        return report

    return check
