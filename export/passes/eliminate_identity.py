"""Pass: removes what does nothing in inference.

1. Identity(x) → x
2. Dropout(x), whose mask nobody reads and which is not in training mode → x
"""

import onnx
from onnx import numpy_helper

from nin_onnx.export.passes.pass_result import PassResult
from nin_onnx.graph import replace_all, replace_nodes

__all__ = ["eliminate_identity"]


def eliminate_identity(model: onnx.ModelProto) -> PassResult:
    """Remove them; one that stands between an input and an output of the graph stays, since both keep their names."""
    graph = model.graph
    kept = _without_identities(graph)
    if len(kept) == len(graph.node):
        return PassResult(model, changed=False)
    replace_nodes(graph, kept)
    needed = {name for node in kept for name in node.input} | {value.name for value in graph.output}
    replace_all(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in needed])
    return PassResult(model, changed=True)


def _without_identities(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that stay; their inputs and outputs are renamed if need be."""
    given = {value.name for value in graph.output}
    outside = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer} | given
    false = {tensor.name for tensor in graph.initializer if not numpy_helper.to_array(tensor).any()}
    read = {name for node in graph.node for name in node.input} | given
    instead: dict[str, str] = {}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        node.input[:] = [instead.get(name, name) for name in node.input]
        if not _is_idle(node, read, false) or (node.output[0] in given and node.input[0] in outside):
            kept.append(node)
        elif node.output[0] in given:  # the output keeps its name: what makes it and what reads it take that
            source, name = node.input[0], node.output[0]
            instead[source] = name
            outside.add(name)
            for other in kept:
                other.input[:] = [name if value == source else value for value in other.input]
                other.output[:] = [name if value == source else value for value in other.output]
        else:
            instead[node.output[0]] = node.input[0]
    return kept


def _is_idle(node: onnx.NodeProto, read: set[str], false: set[str]) -> bool:
    if node.op_type == "Identity":
        return True
    training = node.input[2] if len(node.input) > 2 else ""
    return node.op_type == "Dropout" and read.isdisjoint(node.output[1:]) and (not training or training in false)
