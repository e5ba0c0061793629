"""For the tests of others: `pytest_plugins = ["nin_onnx.runtimes.pytest_plugin"]` gives them the fixture `assert_parity`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from nin_onnx.runtimes.evaluation import evaluate
from nin_onnx.runtimes.options import EvalOptions
from nin_onnx.runtimes.report import Report

__all__ = ["assert_parity"]


@pytest.fixture
def assert_parity() -> Callable[..., Report]:
    """`assert_parity(model, runtimes=["onnxruntime", "openvino"])` fails if one of them disagrees, crashes or is absent."""

    def check(model: str | Path, runtimes: Sequence[str] | None = None, **options: Any) -> Report:
        """Return the report; `options` are those of `nin_onnx.runtimes.EvalOptions`."""
        __tracebackhide__ = True
        report = evaluate(Path(model), EvalOptions(runtimes=runtimes, **options))
        if not report:
            lines = [f"{row.runtime}: {row.outcome}: {row.reason}" for row in report.rows if row.outcome != "pass"]
            pytest.fail("\n".join([f"'{model}' does not give the same answers everywhere", *lines]), pytrace=False)
        return report

    return check
