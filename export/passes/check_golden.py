"""Pass: changes nothing, but stops an export whose graph does not give the network's answers."""

import numpy as np
import onnx

from nin_onnx.errors import ExportError
from nin_onnx.golden import Golden

__all__ = ["TOLERANCE", "check_golden"]

TOLERANCE = 1e-5
"""Largest difference allowed, in units of the output's largest absolute value; float32's own rounding is near 1e-6."""


def check_golden(model: onnx.ModelProto, golden: Golden) -> onnx.ModelProto:
    """Compare the graph, run by the ONNX reference evaluator, with PyTorch's answers in float64; raises `ExportError`.

    All images go through at once and the first once more alone, since the batch is dynamic.
    """
    from onnx.reference import ReferenceEvaluator

    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _failed(f"the graph is not valid ONNX ({str(error).strip().splitlines()[0]})") from error
    evaluator = ReferenceEvaluator(model)
    if evaluator.output_names != list(golden.outputs):
        raise _failed(f"the graph gives {evaluator.output_names}, expected {list(golden.outputs)}")
    for rows in (slice(None), slice(1)):
        outputs = evaluator.run(None, {"images": golden.images[rows]})
        for (name, expected), found in zip(golden.outputs.items(), outputs, strict=True):
            wanted = expected[rows]
            if found.shape != wanted.shape:
                raise _failed(f"the graph's '{name}' has the shape {list(found.shape)}, expected {list(wanted.shape)}")
            difference = float(np.abs(found.astype(np.float64) - wanted).max()) / golden.scale(name)
            if not difference <= TOLERANCE:  # NaN fails too
                raise _failed(
                    f"the graph's '{name}' differs from PyTorch's by {difference:.1e} of its largest value, "
                    f"at most {TOLERANCE:.0e} is allowed"
                )
    return model


def _failed(reason: str) -> ExportError:
    return ExportError(f"{reason}: nothing is written; install the versions in constraints.txt")
