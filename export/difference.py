"""How far a graph's answers are from the right ones, and the node at which the difference begins.

A value inside the graph is looked for among the right ones by what it is, since passes change names. If they fuse or split
nodes they leave values that nobody else computes: these are right if what is computed from them is.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from nin_onnx.golden import Golden
from nin_onnx.precision import FP32

__all__ = ["Modules", "Values", "first_difference", "graph_values", "largest_difference", "origin_of_difference"]

Values = Mapping[str, NDArray[Any]]
Modules = Callable[[NDArray[np.uint8]], Values]
"""What the modules of a network compute, by their names, for images uint8 [N, height, width, channels]."""


def origin_of_difference(
    stages: Iterable[tuple[str, onnx.ModelProto]], golden: Golden, rows: slice, modules: Modules | None
) -> str:
    """Return the node at which the difference first appears, and who made the graph that it is in; nothing if that is unknown.

    `stages`: every graph on the way and its maker, the last with wrong answers to the images `rows` of `golden`.
    """
    images = golden.images[rows]
    right: dict[str, NDArray[Any]] = {}
    for maker, model in stages:
        found = graph_values(model, images)
        if largest_difference(found, golden, rows)[0] <= FP32.tolerance:
            right |= found
            continue
        if not right:
            right |= modules(images) if modules else {}
            right |= {name: expected[rows] for name, expected in golden.outputs.items()}
        first = first_difference(model, found, right)
        return f"; it first appears at the node {first}, in the graph that {maker} made" if first else ""
    return ""


def graph_values(model: onnx.ModelProto, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Return all that the ONNX reference evaluator computes of `images` with `model`, by name, its outputs among them."""
    from onnx.reference import ReferenceEvaluator

    found: Any = ReferenceEvaluator(model).run(None, {"images": images}, intermediate=True)
    computed = {name for node in model.graph.node for name in node.output if name}
    return {name: value for name, value in found.items() if name in computed}


def largest_difference(found: Values, golden: Golden, rows: slice) -> tuple[float, str]:
    """Return by how much, in the units of `golden`, the outputs in `found` differ at most, and which of them does."""
    differences = {
        name: _difference(found[name], expected[rows]) / golden.scale(name) for name, expected in golden.outputs.items()
    }
    name = max(differences, key=differences.__getitem__)
    return differences[name], name


def first_difference(model: onnx.ModelProto, found: Values, right: Values) -> str | None:
    """Return the first node of `model` whose value is wrong, its operator, and by how much; None if all outputs are right.

    `found`: what `model` computes. `right`: values that are right, the outputs among them under their names; a value is right
    that is near one of them. From the wrong outputs the search goes back, through values that are not right, to where they begin.
    """
    makers = {value: node for node in model.graph.node for value in node.output}
    outputs = {output.name: _relative(found[output.name], right[output.name]) for output in model.graph.output}
    wrong = {name: difference for name, difference in outputs.items() if not difference <= FP32.tolerance}
    waiting = list(wrong)
    while waiting:
        for value in makers[waiting.pop()].input:
            if value in found and value not in wrong and found[value].dtype != np.int64:  # that is a shape
                difference = min((_relative(found[value], other) for other in right.values()), default=np.inf)
                if not difference <= FP32.tolerance:
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
    """Return the largest difference over the largest value of `right`; infinity if the shapes differ."""
    if found.shape != right.shape:
        return float("inf")
    return _difference(found, right) / (float(np.abs(right).max(initial=0)) or 1.0)


def _difference(found: NDArray[Any], right: NDArray[Any]) -> float:
    """Return the largest difference; infinity if the shapes differ, or for a NaN."""
    if found.shape != right.shape:
        return float("inf")
    largest = float(np.abs(found.astype(np.float64) - right).max(initial=0))
    return largest if largest == largest else float("inf")
