"""What is needed again and again to read an ONNX graph and to change it."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import onnx

__all__ = [
    "PRODUCTS",
    "attributes",
    "copied",
    "external_files",
    "graph_inputs",
    "opset",
    "replace_all",
    "replace_nodes",
    "subgraphs",
]

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that multiply what they are given by weights, and add."""


class Repeated(Protocol):
    """A repeated field of a protobuf message."""

    def __delitem__(self, key: slice, /) -> None: ...

    def extend(self, values: Iterable[Any], /) -> None: ...


def opset(model: "onnx.ModelProto") -> int:
    """Return the version of ONNX's own operators that `model` uses; 0 if it names none."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def attributes(node: "onnx.NodeProto") -> dict[str, Any]:
    """Return the attributes of `node` by name."""
    from onnx.helper import get_attribute_value

    return {part.name: get_attribute_value(part) for part in node.attribute}


def graph_inputs(graph: "onnx.GraphProto") -> "list[onnx.ValueInfoProto]":
    """Return what has to be given to run `graph`: its inputs without the weights, which old exporters list among them."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def subgraphs(nodes: "Iterable[onnx.NodeProto]") -> "Iterator[onnx.GraphProto]":
    """Yield the graphs that `nodes` hold as attributes, and those within these."""
    waiting = list(nodes)
    while waiting:
        for part in waiting.pop().attribute:
            for graph in (part.g, *part.graphs):
                yield graph
                waiting += graph.node


def external_files(model: "onnx.ModelProto") -> tuple[str, ...]:
    """Return the files with weights next to `model`, in alphabetical order.

    As paths from the model's folder; `onnx.checker` refuses those that lead out of it.
    """
    from onnx.external_data_helper import uses_external_data

    graphs = [model.graph, *subgraphs(model.graph.node)]
    tensors = [tensor for graph in graphs for tensor in graph.initializer]
    for part in (part for graph in graphs for node in graph.node for part in node.attribute):
        tensors += [part.t] if part.HasField("t") else part.tensors
    entries = (entry for tensor in tensors if uses_external_data(tensor) for entry in tensor.external_data)
    return tuple(sorted({entry.value for entry in entries if entry.key == "location"}))


def copied(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Return a copy of `model`."""
    import onnx

    result = onnx.ModelProto()
    result.CopyFrom(model)
    return result


def replace_all(field: Repeated, items: Iterable[Any]) -> None:
    """Put `items` in place of everything in the repeated `field`, from which they may come."""
    kept = list(items)
    del field[:]
    field.extend(kept)


def replace_nodes(graph: "onnx.GraphProto", nodes: "Iterable[onnx.NodeProto]") -> None:
    """Put `nodes` in place of those of `graph`, and drop what it notes on values that no node has any more."""
    replace_all(graph.node, nodes)
    names = {name for node in graph.node for name in (*node.input, *node.output)}
    replace_all(graph.value_info, [info for info in graph.value_info if info.name in names])
