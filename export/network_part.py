"""Where a graph's preprocessing ends and its network begins: variants change the network alone."""

from collections.abc import Collection

import onnx

from nin_onnx.graph import PRODUCTS

__all__ = ["layers", "preprocessing"]


def layers(model: onnx.ModelProto, steps: Collection[str]) -> list[onnx.NodeProto]:
    """Return the nodes with weights, first to last; not those of preprocessing `steps`, whose weights bear their names."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [
        node
        for node in model.graph.node
        if node.op_type in PRODUCTS and any(name in weights and name.split(".")[0] not in steps for name in node.input)
    ]


def preprocessing(model: onnx.ModelProto, steps: Collection[str]) -> list[onnx.NodeProto]:
    """Return the nodes that make the first layer's input, in their order."""
    makers = {value: node for node in model.graph.node for value in node.output}
    found: set[str] = set()
    wanted = [name for node in layers(model, steps)[:1] for name in node.input]
    while wanted:
        node = makers.get(wanted.pop())
        if node is not None and node.output[0] not in found:
            found.add(node.output[0])
            wanted.extend(node.input)
    return [node for node in model.graph.node if node.output[0] in found]
