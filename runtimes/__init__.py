"""Runtimes: an ONNX model becomes outputs, agreement and a verdict."""

from nin_onnx.runtimes.backends.registry import RUNTIMES
from nin_onnx.runtimes.evaluation import evaluate
from nin_onnx.runtimes.report import Report
from nin_onnx.runtimes.reports.terminal import table

__all__ = ["RUNTIMES", "Report", "evaluate", "table"]
