"""Stops an export whose graph does not give the network's answers."""

import onnx

from nin_onnx.errors import ExportError
from nin_onnx.export.difference import graph_values, largest_difference
from nin_onnx.golden import Golden
from nin_onnx.precision import FP32

__all__ = ["WrongAnswerError", "check_golden"]


class WrongAnswerError(ExportError):
    """A graph that gives wrong answers to some of the golden images; says by how much, and later at which node that begins."""

    def __init__(self, reason: str, rows: slice, origin: str = "") -> None:
        super().__init__(f"{reason}{origin}: nothing is written; install the versions in constraints.txt")
        self.reason, self.rows = reason, rows


def check_golden(model: onnx.ModelProto, golden: Golden) -> None:
    """Compare the graph, run by the ONNX reference evaluator, with PyTorch's answers in float64; raises `ExportError`.

    All images go through at once and the first once more alone, since the batch is dynamic.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _failed(f"the graph is not valid ONNX ({str(error).strip().splitlines()[0]})") from error
    names = [output.name for output in model.graph.output]
    if names != list(golden.outputs):
        raise _failed(f"the graph gives {names}, expected {list(golden.outputs)}")
    for rows in (slice(None), slice(1)):
        outputs = graph_values(model, golden.images[rows])
        for name, expected in golden.outputs.items():
            if outputs[name].shape != (wanted := expected[rows].shape):
                reason = f"the graph's '{name}' has the shape {list(outputs[name].shape)}, expected {list(wanted)}"
                raise WrongAnswerError(reason, rows)
        difference, name = largest_difference(outputs, golden, rows)
        if not difference <= FP32.tolerance:  # NaN fails too
            raise WrongAnswerError(
                f"the graph's '{name}' differs from PyTorch's by {difference:.1e} of its largest value, "
                f"at most {FP32.tolerance:.0e} is allowed",
                rows,
            )


def _failed(reason: str) -> ExportError:
    return ExportError(f"{reason}: nothing is written; install the versions in constraints.txt")
