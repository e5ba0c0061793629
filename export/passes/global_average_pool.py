"""Pass: the mean over height and width, as torch writes it, becomes GlobalAveragePool.

1. ReduceMean(x, axes=[2, 3] or [-1, -2], keepdims=0)  →  Flatten(GlobalAveragePool(x))
"""

from collections.abc import Mapping
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from nin_onnx.golden import Golden

__all__ = ["global_average_pool"]


def global_average_pool(model: onnx.ModelProto, golden: Golden) -> onnx.ModelProto:
    """Replace every mean of class maps [N, classes, h, w] over h and w; runtimes know the pooling, and run it faster."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in result.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in result.graph.node:
        if node.op_type != "ReduceMean" or _keeps_axes(node) or not _is_spatial(node, constants):
            nodes.append(node)
            continue
        (output,) = node.output
        pooled = f"{output}_pooled"
        nodes.append(helper.make_node("GlobalAveragePool", [node.input[0]], [pooled]))
        nodes.append(helper.make_node("Flatten", [pooled], [output], axis=1))
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in result.graph.initializer if tensor.name in used]
    del result.graph.initializer[:]
    result.graph.initializer.extend(kept)
    return result


def _keeps_axes(node: onnx.NodeProto) -> bool:
    return not any(attribute.name == "keepdims" and attribute.i == 0 for attribute in node.attribute)


def _is_spatial(node: onnx.NodeProto, constants: Mapping[str, NDArray[Any]]) -> bool:
    axes = constants.get(node.input[1]) if len(node.input) == 2 else None
    return axes is not None and sorted(int(axis) % 4 for axis in axes) == [2, 3]
