"""For the tests of others: `pytest_plugins = ["nin_onnx.runtimes.pytest_plugin"]` gives them the fixture `assert_parity`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from nin_onnx.runtimes.evaluation import evaluate
from nin_onnx.runtimes.report import Report

__all__ = ["assert_parity"]


@pytest.fixture
def assert_parity() -> Callable[..., Report]:
    """`assert_parity(model, runtimes=["onnxruntime", "openvino"])` fails where one of them disagrees, crashes or is absent."""

    def check(model: str | Path, runtimes: Sequence[str] | None = None, **options: Any) -> Report:
        """`options` are those of `nin_onnx.runtimes.evaluate`; gives the report."""
        __tracebackhide__ = True
        report = evaluate(Path(model), runtimes=runtimes, **options)
        if report.exit_status():
            lines = [f"{row.runtime}: {row.outcome}: {row.reason}" for row in report.rows if row.outcome != "pass"]
            pytest.fail("\n".join([f"'{model}' does not give the same answers everywhere", *lines]), pytrace=False)
        return report

    return check
