"""Pass: every node, weight and value is named after the paper's layers, the same in every export.

1. A convolution is called as its weights are (`conv1`, `cccp1`), a ReLU after what it follows (`conv1_relu`).
2. The pools are counted: `pool1`, `pool2`, `pool3`.
3. A step of the preprocessing is called as in the recipe; whatever is left, as its operator.
4. A value is called as the node that makes it; the graph's inputs and outputs keep their names.
"""

from collections import Counter

import onnx

from nin_onnx.golden import Golden

__all__ = ["stable_names"]


def stable_names(model: onnx.ModelProto, golden: Golden) -> onnx.ModelProto:
    """Rename everything inside the graph."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    values = {value.name: value.name for value in (*graph.input, *graph.output)}
    for tensor in graph.initializer:
        values[tensor.name] = tensor.name = tensor.name.split(".", 1)[-1]  # network.conv1.weight -> conv1.weight
    weights = {tensor.name for tensor in graph.initializer}
    maker: dict[str, str] = {}  # value -> name of the node that made it
    seen: Counter[str] = Counter()
    pools = 0
    for node in graph.node:
        pools += node.op_type in ("MaxPool", "AveragePool", "GlobalAveragePool")
        owners = [values[name].rpartition(".")[0] for name in node.input if values.get(name) in weights]
        if node.op_type == "Relu":
            name = f"{maker[node.input[0]]}_relu"
        elif node.op_type.endswith("Pool"):
            name = f"pool{pools}"
        else:
            name = next(filter(None, owners), node.op_type.lower())
        seen[name] += 1
        node.name = name if seen[name] == 1 else f"{name}_{seen[name]}"
        maker |= dict.fromkeys(node.output, node.name)
        for value in node.output:
            values.setdefault(value, node.name)
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [values[name] for name in names]
    del graph.value_info[:]  # they carry the old names
    return onnx.shape_inference.infer_shapes(result, strict_mode=True)
