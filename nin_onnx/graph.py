"""What a graph takes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

__all__ = ["graph_inputs"]


def graph_inputs(graph: "onnx.GraphProto") -> "list[onnx.ValueInfoProto]":
    """What has to be given to run `graph`: its inputs, among which old exporters list the weights, without these."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]
