"""Pass: every node, weight and value is named after the paper's layers, the same in every export.

1. A convolution is called as its weights are (`conv1`, `cccp1`), a ReLU after what it follows (`conv1_relu`).
2. The pools are counted: `pool1`, `pool2`, `pool3`.
3. A step of the preprocessing is called as in the recipe; whatever is left, as its operator.
4. A value is called as the node that makes it; the graph's inputs and outputs keep their names.
5. Where a name is taken already, a number follows: `standardize_2`.
"""

import onnx

from nin_onnx.export.passes.pass_result import PassResult

__all__ = ["stable_names"]


def stable_names(model: onnx.ModelProto) -> PassResult:
    """Rename everything inside the graph."""
    before = model.SerializeToString(deterministic=True)
    graph = model.graph
    values = {name: name for name in ("", *(value.name for value in (*graph.input, *graph.output)))}  # "": an input left out
    nodes: set[str] = set()
    taken = set(values)
    weights = set()
    for tensor in graph.initializer:
        if tensor.name not in values:
            values[tensor.name] = _free(tensor.name.removeprefix("network.").removeprefix("preprocessing."), taken)
        tensor.name = values[tensor.name]
        weights.add(tensor.name)
    maker: dict[str, str] = {}  # value -> name of the node that made it
    pools = 0
    for node in graph.node:
        inputs = [values[name] for name in node.input]
        owners = [name.rpartition(".")[0] for name in inputs if name in weights]
        if node.op_type == "Relu":
            name = f"{maker.get(inputs[0], inputs[0])}_relu"
        elif node.op_type.endswith("Pool"):
            pools += 1
            name = f"pool{pools}"
        else:
            name = next(filter(None, owners), node.op_type.lower())
        node.name = _free(name, nodes)
        for value in node.output:
            if value not in values:
                values[value] = _free(node.name, taken)
        node.input[:] = inputs
        node.output[:] = [values[name] for name in node.output]
        maker |= dict.fromkeys(node.output, node.name)
    del graph.value_info[:]  # they carry the old names
    result = onnx.shape_inference.infer_shapes(model)
    return PassResult(result, result.SerializeToString(deterministic=True) != before)


def _free(name: str, taken: set[str]) -> str:
    """Return `name`, or with the first number that makes it free; it is then taken."""
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free
