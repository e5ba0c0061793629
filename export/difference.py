"""How far a graph's answers are from the right ones, and the node at which the difference begins.

A value inside the graph is looked for among the right ones by what it is, since passes change names. Where they fuse or split
nodes they leave values that nobody else computes: these are right where what is computed from them is.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from nin_onnx.golden import Golden

__all__ = ["TOLERANCE", "Modules", "Values", "first_difference", "furthest", "graph_values", "located"]

TOLERANCE = 1e-5
"""Largest difference allowed, in units of the output's largest absolute value; float32's own rounding is near 1e-6."""

Values = Mapping[str, NDArray[Any]]
Modules = Callable[[NDArray[np.uint8]], Values]
"""What the modules of a network compute, by their names, for images uint8 [N, height, width, channels]."""


def located(history: Sequence[tuple[str, onnx.ModelProto]], golden: Golden, rows: slice, modules: Modules | None) -> str:
    """The node at which the difference first appears, and who made the graph that it is in; nothing where that is not known.

    `history`: every graph on the way and its maker, the last with wrong answers to the images `rows` of `golden`.
    """
    images = golden.images[rows]
    right: dict[str, NDArray[Any]] = {}
    for maker, model in history:
        found = graph_values(model, images)
        if furthest(found, golden, rows)[0] <= TOLERANCE:
            right |= found
            continue
        if not right:
            right |= modules(images) if modules else {}
            right |= {name: expected[rows] for name, expected in golden.outputs.items()}
        first = first_difference(model, found, right)
        return f"; it first appears at the node {first}, in the graph that {maker} made" if first else ""
    return ""


def graph_values(model: onnx.ModelProto, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """All that the ONNX reference evaluator computes of `images` with `model`, by name, its outputs among them."""
    from onnx.reference import ReferenceEvaluator

    found: Any = ReferenceEvaluator(model).run(None, {"images": images}, intermediate=True)
    computed = {name for node in model.graph.node for name in node.output if name}
    return {name: value for name, value in found.items() if name in computed}


def furthest(found: Values, golden: Golden, rows: slice) -> tuple[float, str]:
    """By how much, in the units of `golden`, the outputs in `found` differ at most, and which of them does."""
    differences = {
        name: _difference(found[name], expected[rows]) / golden.scale(name) for name, expected in golden.outputs.items()
    }
    name = max(differences, key=differences.__getitem__)
    return differences[name], name


def first_difference(model: onnx.ModelProto, found: Values, right: Values) -> str | None:
    """The first node of `model` whose value is wrong, its operator, and by how much; None where all outputs are right.

    `found`: what `model` computes. `right`: values that are right, the outputs among them under their names; a value is right
    that is near one of them. From the wrong outputs the search goes back, through values that are not right, to where they begin.
    """
    makers = {value: node for node in model.graph.node for value in node.output}
    outputs = {output.name: _relative(found[output.name], right[output.name]) for output in model.graph.output}
    wrong = {name: difference for name, difference in outputs.items() if not difference <= TOLERANCE}
    waiting = list(wrong)
    while waiting:
        for value in makers[waiting.pop()].input:
            if value in found and value not in wrong and found[value].dtype != np.int64:  # that is a shape
                difference = min((_relative(found[value], other) for other in right.values()), default=np.inf)
                if not difference <= TOLERANCE:
                    wrong[value] = difference
                    waiting.append(value)
    first = next((value for value in makers if value in wrong), None)
    if first is None:
        return None
    namesake = _relative(found[first], right[first]) if first in right else np.inf
    difference = namesake if np.isfinite(namesake) else wrong[first]
    amount = f", by {difference:.1e}" if np.isfinite(difference) else ""
    return f"'{makers[first].name or first}' ({makers[first].op_type}){amount}"


def _relative(found: NDArray[Any], right: NDArray[Any]) -> float:
    """The largest difference over the largest value of `right`; infinity where the shapes differ."""
    if found.shape != right.shape:
        return float("inf")
    return _difference(found, right) / (float(np.abs(right).max(initial=0)) or 1.0)


def _difference(found: NDArray[Any], right: NDArray[Any]) -> float:
    """The largest difference; infinity where the shapes differ, or for a NaN."""
    if found.shape != right.shape:
        return float("inf")
    largest = float(np.abs(found.astype(np.float64) - right).max(initial=0))
    return largest if largest == largest else float("inf")
