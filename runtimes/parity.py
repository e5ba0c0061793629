"""Whether outputs agree with the golden vectors, as closely as the precision that ran allows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.golden import Golden
from nin_onnx.precision import FAST_CONVOLUTION, judged_as
from nin_onnx.runtimes.backends.base import RuntimeInfo

__all__ = [
    "Parity",
    "allowed",
    "compare",
    "cosine",
    "defect",
    "largest_difference",
    "margins",
]


@dataclass(frozen=True)
class Parity:
    """The comparison of every output; `problem` says why it failed, None where it did not."""

    tolerance: float
    differences: Mapping[str, float]
    """For each output its largest difference, in the same units as the tolerance."""
    problem: str | None
    absolute: Mapping[str, float] = field(default_factory=dict)
    """The same in the output's own units."""
    cosine: float | None = None
    """The smallest over the images, of the output that decides."""
    label_changes: int | None = None
    margin: float | None = None
    """The largest by which an image was decided whose label changed, in the units of the tolerance."""
    batches: Mapping[str, float] = field(default_factory=dict)
    """For each size of the batch the largest difference of any output, in the units of the tolerance."""
    neighbors: float | None = None
    """By how much the outputs for an image move when the other images of its batch are replaced, in the same units."""
    repeatable: bool | None = None
    """Whether the same images twice give the same bits."""

    @property
    def worst(self) -> float | None:
        """The largest of the differences, None where the outputs could not be compared."""
        return max((*self.differences.values(), *self.batches.values()), default=None)


def allowed(facts: RuntimeInfo | None, graph: str | None = None) -> float:
    """Return how large a difference may be for what ran; an unknown precision is judged as fp32, the strictest.

    `graph`: the precision of the graph's own types, which round even if a runtime computes more exactly between them.
    """
    tolerance = max(judged_as(facts.precision if facts else None).tolerance, judged_as(graph).tolerance)
    return max(tolerance, FAST_CONVOLUTION) if facts and facts.fast_convolution else tolerance


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
    absolute = {name: largest_difference(outputs[name], expected) for name, expected in golden.outputs.items()}
    differences = {name: difference / golden.scale(name) for name, difference in absolute.items()}
    name, worst = max(differences.items(), key=lambda item: item[1])
    problem = f"'{name}' differs from the golden vectors by {worst:.1e}, at most {tolerance:g} is allowed"
    deciding = "logits" if "logits" in golden.outputs else next(iter(golden.outputs))
    given, expected = outputs[deciding], golden.outputs[deciding]
    changed = margins(given, expected)
    return Parity(
        tolerance,
        differences,
        problem if worst > tolerance else None,
        absolute,
        cosine(given, expected),
        label_changes=len(changed),
        margin=float(changed.max() / golden.scale(deciding)) if len(changed) else None,
    )


def largest_difference(given: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest absolute difference of two arrays of the same shape."""
    return float(np.abs(given.astype(np.float64) - expected).max(initial=0))


def cosine(given: NDArray[Any], expected: NDArray[Any]) -> float | None:
    """The smallest cosine between the rows of two arrays; rows of zeros have none."""
    a, b = (array.reshape(len(array), -1).astype(np.float64) for array in (given, expected))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines = (a * b).sum(1)[lengths > 0] / lengths[lengths > 0]
    return float(cosines.min()) if len(cosines) else None


def margins(given: NDArray[Any], expected: NDArray[Any]) -> NDArray[np.float64]:
    """Of the rows whose largest value stands elsewhere in `given`: by how much it led in `expected`."""
    a, b = (array.reshape(len(array), -1).astype(np.float64) for array in (given, expected))
    changed = np.flatnonzero(a.argmax(1) != b.argmax(1))
    led: NDArray[np.float64] = b[changed].max(1) - b[changed, a[changed].argmax(1)]
    return led


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
