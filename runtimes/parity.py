"""Whether outputs agree with the golden vectors, as closely as the precision that ran allows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.golden import Golden
from nin_onnx.runtimes.contract import Facts

__all__ = ["FAST_CONVOLUTION", "TOLERANCES", "Parity", "allowed", "compare", "defect"]

TOLERANCES = {"fp32": 1e-5, "tf32": 2e-3, "fp16": 5e-3, "bf16": 2e-2}
"""By precision: how large a difference may be, in units of the largest absolute value of the whole golden set."""
FAST_CONVOLUTION = 1e-4
"""The same for a runtime whose convolutions trade digits for speed."""


@dataclass(frozen=True)
class Parity:
    """The comparison of every output; `problem` says why it failed, None where it did not."""

    tolerance: float
    differences: Mapping[str, float]
    """For each output its largest difference, in the same units as the tolerance."""
    problem: str | None

    @property
    def worst(self) -> float | None:
        """The largest of the differences, None where the outputs could not be compared."""
        return max(self.differences.values(), default=None)


def allowed(facts: Facts | None) -> float:
    """How large a difference may be for what ran; a precision that is not told is judged as fp32, the strictest."""
    exact = TOLERANCES["fp32"]
    precise = TOLERANCES.get(facts.precision or "fp32", exact) if facts else exact
    return max(precise, FAST_CONVOLUTION) if facts and facts.fast_convolution else precise


def compare(outputs: Mapping[str, NDArray[Any]], golden: Golden, tolerance: float) -> Parity:
    """Compare all that the golden vectors hold.

    Every output decides, not only the logits: a wrong Softmax is wrong.
    """
    for name, expected in golden.outputs.items():
        problem = defect(outputs, name, expected.shape)
        if not np.isfinite(expected).all():
            problem = f"the golden vectors themselves hold NaN or infinity in '{name}'"
        if problem:
            return Parity(tolerance, {}, problem)
    differences = {
        name: float(np.abs(outputs[name].astype(np.float64) - expected).max() / golden.scale(name))
        for name, expected in golden.outputs.items()
    }
    name, worst = max(differences.items(), key=lambda item: item[1])
    problem = f"'{name}' differs from the golden vectors by {worst:.1e}, at most {tolerance:g} is allowed"
    return Parity(tolerance, differences, problem if worst > tolerance else None)


def defect(outputs: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> str | None:
    """Why the output `name` is not finite numbers of `shape`; None where it is."""
    if name not in outputs:
        return f"gives no '{name}'"
    array = outputs[name]
    if array.shape != shape:
        return f"gives '{name}' of shape {list(array.shape)}, expected {list(shape)}"
    if not np.issubdtype(array.dtype, np.floating):
        return f"gives '{name}' as {array.dtype}, expected floating point"
    if not np.isfinite(array).all():
        return f"gives NaN or infinity in '{name}'"
    return None
