"""Weights that a model keeps in files beside it: which these are."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

__all__ = ["external_files"]


def external_files(model: "onnx.ModelProto") -> tuple[str, ...]:
    """Their paths as seen from the model's folder, in the order of the alphabet; `onnx.checker` refuses what lies elsewhere."""
    from onnx.external_data_helper import uses_external_data

    entries = (entry for tensor in _tensors(model.graph) if uses_external_data(tensor) for entry in tensor.external_data)
    return tuple(sorted({entry.value for entry in entries if entry.key == "location"}))


def _tensors(graph: "onnx.GraphProto") -> Iterator["onnx.TensorProto"]:
    """All constants of a graph, those of the graphs within it too."""
    yield from graph.initializer
    for node in graph.node:
        for part in node.attribute:
            yield from ([part.t] if part.HasField("t") else part.tensors)
            for inner in [part.g] if part.HasField("g") else part.graphs:
                yield from _tensors(inner)
