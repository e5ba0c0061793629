"""The layers of an ONNX graph, of any origin: what each does, its output's shape, its parameters and multiply-adds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from nin_onnx.graph import PRODUCTS, attributes, copied, graph_inputs

if TYPE_CHECKING:
    import onnx

__all__ = ["GraphLayer", "graph_layers"]

Shape = tuple[int | None, ...]

WITH_PARAMETERS = {**dict.fromkeys(PRODUCTS, 9), "BatchNormalization": 3, "LayerNormalization": 3, "InstanceNormalization": 3,
            "GroupNormalization": 3, "PRelu": 2, "Add": 2}  # fmt: skip
"""Operators whose constants are parameters: up to which input. What normalization measured is none; an added one is a bias."""
PASSING = ("Cast", "Identity", "Dropout", "QuantizeLinear", "DequantizeLinear")
"""What is not shown: numbers change their type, and nothing else."""
SHAPING = ("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Concat", "Split", "Slice", "Gather", "Pad")


@dataclass(frozen=True)
class GraphLayer:
    """A line of the list: an operator, and those behind it that neither have weights nor change the shape."""

    name: str
    operators: tuple[str, ...]
    output: Shape
    """Of one image; None where it is not known."""
    parameters: int
    multiply_adds: int | None
    """For one image; None where a shape is not known."""


def graph_layers(model: "onnx.ModelProto", size: Mapping[int, int] | None = None) -> list[GraphLayer]:
    """Return the layers of `model` in its own order; `size` is of the input's dimensions that the graph leaves free, by number.

    A weight that several layers share counts where it is used first.
    """
    batch = _batch(model)
    shapes, integers = _shapes(model, {0: 1, **(size or {})})
    constants = {tensor.name: prod(tensor.dims) for tensor in model.graph.initializer}
    found: list[GraphLayer] = []
    source: dict[str, str] = {}  # a value that was passed on -> the value it is
    behind: str | None = None  # what the last line gives
    counted: set[str] = set()
    for node in model.graph.node:
        inputs = [source.get(name, name) for name in node.input if name]
        output = node.output[0]
        if node.op_type in PASSING:
            source[output] = inputs[0]
            continue
        if node.op_type == "Constant" or (inputs and all(name in constants for name in inputs)):
            constants[output] = prod(side or 0 for side in shapes.get(output, ()))
            continue
        if output in integers:  # shapes that are calculated
            continue
        own = {name for name in inputs[: WITH_PARAMETERS.get(node.op_type, 0)] if name in constants} - counted
        counted |= own
        weights = _parameters(node, [constants[name] for name in own])
        shape = shapes.get(output, ())[1:]
        moving = [name for name in inputs if name not in constants]
        last = found[-1] if found and moving == [behind] else None
        if last and not weights and shape == last.output and node.op_type not in (*PRODUCTS, *SHAPING):
            found[-1] = replace(last, operators=(*last.operators, _describe(node)))
        else:
            operations = _multiply_adds(node, [shapes.get(name, ()) for name in node.input], shapes.get(output, ()))
            each = None if operations is None else operations // batch
            found.append(GraphLayer(node.name or output, (_describe(node, shapes),), shape, weights, each))
        behind = output
    return found


def _parameters(node: "onnx.NodeProto", sizes: Iterable[int]) -> int:
    """Return how many parameters the constants of these sizes are; a single number that is added is not a bias."""
    count = sum(sizes)
    return 0 if node.op_type == "Add" and count == 1 else count


def _batch(model: "onnx.ModelProto") -> int:
    """How many images the graph takes at once, where it takes no other number; else 1."""
    shapes = (value.type.tensor_type.shape.dim for value in graph_inputs(model.graph))
    return next((sides[0].dim_value for sides in shapes if sides and sides[0].dim_value > 0), 1)


def _shapes(model: "onnx.ModelProto", size: Mapping[int, int]) -> tuple[dict[str, Shape], set[str]]:
    """The shape of every value, for one image where the batch is free, and those which hold a few whole numbers: sizes."""
    import onnx

    fixed = copied(model)
    for value in graph_inputs(fixed.graph):
        for at, side in enumerate(value.type.tensor_type.shape.dim):
            if at in size and side.dim_value < 1:  # some exporters write 0 or -1 for what they do not know
                side.dim_value = size[at]
    del fixed.graph.value_info[:]  # they may hold names for what is a number now
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    shapes: dict[str, Shape] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    integers = set()
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if not kind.HasField("shape"):
            continue
        shapes[value.name] = tuple(side.dim_value if side.dim_value > 0 else None for side in kind.shape.dim)
        if kind.elem_type in (onnx.TensorProto.INT64, onnx.TensorProto.INT32) and len(shapes[value.name]) <= 1:
            integers.add(value.name)
    return shapes, integers


def _multiply_adds(node: "onnx.NodeProto", inputs: list[Shape], output: Shape) -> int | None:
    """For the batch that the shapes are of; None where one of them is not known."""
    if node.op_type not in PRODUCTS:
        return 0
    first, weight = inputs[:2]
    sides: Iterable[int | None]
    if node.op_type == "Conv":
        sides = (*output, *weight[1:])
    elif node.op_type == "ConvTranspose":
        sides = (*first, *weight[1:])
    else:
        sides = (*output, *first[-2:][:1]) if attributes(node).get("transA") else (*output, *first[-1:])
    known = [side for side in sides if side is not None]
    return prod(known) if len(known) == len(list(sides)) and output and weight else None


def _describe(node: "onnx.NodeProto", shapes: Mapping[str, Shape] | None = None) -> str:
    """`Conv 5×5 /2`: operator, window, stride and groups where there are any."""
    settings = attributes(node)
    window = settings.get("kernel_shape")
    if window is None and node.op_type in ("Conv", "ConvTranspose") and shapes:
        window = [side or 0 for side in shapes.get(node.input[1], ())[2:]]
    words = [node.op_type]
    if window:
        words.append("×".join(map(str, window)))
    strides = settings.get("strides") or []
    if any(stride != 1 for stride in strides):
        words.append("/" + ("×".join(map(str, strides)) if len(set(strides)) > 1 else str(strides[0])))
    if settings.get("group", 1) != 1 and node.op_type in PRODUCTS:
        words.append(f"({settings['group']} groups)")
    return " ".join(words)
