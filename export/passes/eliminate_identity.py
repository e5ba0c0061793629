"""Pass: what does nothing while a network answers goes.

1. Identity(x) → x
2. Dropout(x), whose mask nobody reads and which is not in training mode → x
"""

import onnx
from onnx import numpy_helper

from nin_onnx.golden import Golden

__all__ = ["eliminate_identity"]


def eliminate_identity(model: onnx.ModelProto, golden: Golden) -> onnx.ModelProto:
    """Remove them; one that stands between an input and an output of the graph stays, since both keep their names."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
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
    if len(kept) == len(graph.node):
        return model
    names = {name for node in kept for name in (*node.input, *node.output)}
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    infos = [info for info in graph.value_info if info.name in names]
    weights = [tensor for tensor in graph.initializer if tensor.name in names | given]
    for field, items in ((graph.node, copies), (graph.value_info, infos), (graph.initializer, weights)):
        del field[:]
        field.extend(items)
    return result


def _is_idle(node: onnx.NodeProto, read: set[str], false: set[str]) -> bool:
    if node.op_type == "Identity":
        return True
    training = node.input[2] if len(node.input) > 2 else ""
    return node.op_type == "Dropout" and read.isdisjoint(node.output[1:]) and (not training or training in false)
