"""Pass: changes nothing, but stops an export whose graph does not give the network's answers."""

import numpy as np
import onnx

from nin_onnx.errors import ExportError
from nin_onnx.golden import Golden

__all__ = ["TOLERANCE", "check_golden"]

TOLERANCE = 1e-5
"""Largest difference allowed, over the largest absolute logit of the golden set; float32's own rounding is near 1e-6."""


def check_golden(model: onnx.ModelProto, golden: Golden) -> onnx.ModelProto:
    """Compare the graph, run by the ONNX reference evaluator, with PyTorch's answers in float64; raises `ExportError`.

    All images go through at once and the first once more alone, since the batch is dynamic.
    """
    from onnx.reference import ReferenceEvaluator

    onnx.checker.check_model(model, full_check=True)
    evaluator = ReferenceEvaluator(model)
    scale = float(np.abs(golden.outputs["logits"]).max()) or 1.0
    for rows in (slice(None), slice(1)):
        outputs = evaluator.run(list(golden.outputs), {"images": golden.images[rows]})
        for (name, expected), found in zip(golden.outputs.items(), outputs, strict=True):
            wanted = expected[rows]
            if found.shape != wanted.shape:
                raise ExportError(
                    f"the graph's '{name}' has the shape {found.shape}, PyTorch's {wanted.shape}: nothing is written"
                )
            difference = float(np.abs(found.astype(np.float64) - wanted).max()) / (1.0 if name == "probabilities" else scale)
            if not difference <= TOLERANCE:  # NaN fails too
                raise ExportError(
                    f"the graph's '{name}' differs from PyTorch's by {difference:.1e} of the largest logit, "
                    f"at most {TOLERANCE:.0e} is allowed: nothing is written"
                )
    return model
