"""Runtimes: an ONNX model becomes outputs, agreement and a verdict."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nin_onnx.runtimes.backends.registry import RUNTIMES
    from nin_onnx.runtimes.criteria import Criteria
    from nin_onnx.runtimes.evaluation import evaluate
    from nin_onnx.runtimes.options import EvalOptions
    from nin_onnx.runtimes.report import Report
    from nin_onnx.runtimes.reports.terminal import table

__all__ = ["RUNTIMES", "Criteria", "EvalOptions", "Report", "evaluate", "table"]

MODULES = {
    "RUNTIMES": "backends.registry",
    "Criteria": "criteria",
    "EvalOptions": "options",
    "Report": "report",
    "evaluate": "evaluation",
    "table": "reports.terminal",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: the list of runtimes alone needs no NumPy."""
    from importlib import import_module

    if name not in MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)
