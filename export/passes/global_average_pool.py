"""Pass: the mean over height and width, as torch writes it, becomes GlobalAveragePool.

1. ReduceMean(x, axes=[2, 3] or [-2, -1], keepdims=0)  →  Flatten(GlobalAveragePool(x)), for x [N, channels, height, width]
"""

import onnx
from onnx import TensorProto, helper, numpy_helper

from nin_onnx.export.passes.pass_result import PassResult
from nin_onnx.graph import attributes, replace_all, replace_nodes

__all__ = ["global_average_pool"]


def global_average_pool(model: onnx.ModelProto) -> PassResult:
    """Replace every mean of class maps [N, classes, h, w] over h and w; runtimes know the pooling, and run it faster."""
    graph = model.graph
    ranks = _ranks(model)
    spatial = {tensor.name for tensor in graph.initializer if _is_height_and_width(tensor)}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if not _is_mean(node) or ranks.get(node.input[0]) != 4 or not spatial.intersection(node.input[1:]):
            nodes.append(node)
            continue
        (output,) = node.output
        pooled = f"{output}_pooled"
        nodes.append(helper.make_node("GlobalAveragePool", [node.input[0]], [pooled]))
        nodes.append(helper.make_node("Flatten", [pooled], [output], axis=1))
    if len(nodes) == len(graph.node):
        return PassResult(model, changed=False)
    replace_nodes(graph, nodes)
    unused = spatial - {name for node in nodes for name in node.input} - {value.name for value in graph.output}
    replace_all(graph.initializer, [tensor for tensor in graph.initializer if tensor.name not in unused])
    return PassResult(model, changed=True)


def _is_mean(node: onnx.NodeProto) -> bool:
    return node.op_type == "ReduceMean" and not attributes(node).get("keepdims", 1)


def _is_height_and_width(tensor: onnx.TensorProto) -> bool:
    if tensor.data_type != TensorProto.INT64 or list(tensor.dims) != [2]:
        return False
    return sorted(int(axis) % 4 for axis in numpy_helper.to_array(tensor)) == [2, 3]


def _ranks(model: onnx.ModelProto) -> dict[str, int]:
    """Return the number of dimensions of every value whose shape is known."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: len(value.type.tensor_type.shape.dim) for value in known if value.type.tensor_type.HasField("shape")}
