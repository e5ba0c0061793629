"""Other forms of the same graph, for runtimes that cannot take the one that ships."""

from dataclasses import replace
from typing import TYPE_CHECKING

from nin_onnx.card import read_card, write_card
from nin_onnx.errors import ModelError

if TYPE_CHECKING:
    import onnx

__all__ = ["FLOAT_INPUT", "float_input"]

FLOAT_INPUT = "float32 [batch, channels, height, width]"
"""What the variant's card says of its input: raw pixels 0…255, the preprocessing still inside the graph."""


def float_input(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """`model`, but its input `images`, uint8 [batch, height, width, channels], is float32 [batch, channels, height, width].

    The Transpose and the Cast that the graph begins with, in either order, are what falls away; everything after them is the
    same. Raises `ModelError` for a graph that begins in another way.
    """
    import onnx
    from onnx import TensorProto, helper

    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    first = _only_reader(graph, "images")
    second = _only_reader(graph, first.output[0]) if first else None
    given_away = {output.name for output in graph.output}
    if first is None or second is None or not _is_planar_float(first, second) or given_away.intersection(second.output):
        raise ModelError(
            "the graph should begin with the Transpose and the Cast of 'images' alone: export it with nin-onnx export"
        )
    (value,) = second.output
    for node in graph.node:
        node.input[:] = ["images" if name == value else name for name in node.input]
    gone = {*first.output, *second.output}
    nodes = [node for node in graph.node if not gone.intersection(node.output)]
    known = [info for info in graph.value_info if info.name not in gone]
    del graph.node[:]
    del graph.value_info[:]
    graph.node.extend(nodes)
    graph.value_info.extend(known)
    (images,) = (value for value in graph.input if value.name == "images")
    batch, height, width, channels = images.type.tensor_type.shape.dim
    images.CopyFrom(helper.make_tensor_value_info("images", TensorProto.FLOAT, [None] * 4))
    for side, size in zip(images.type.tensor_type.shape.dim, (batch, channels, height, width), strict=True):
        side.CopyFrom(size)
    card = read_card(result)
    if card is not None:
        write_card(result, replace(card, input=FLOAT_INPUT))
    return result


def _only_reader(graph: "onnx.GraphProto", value: str) -> "onnx.NodeProto | None":
    """The node that reads `value`, where it is the only one and the graph does not give the value away."""
    readers = [node for node in graph.node if value in node.input]
    return readers[0] if len(readers) == 1 and value not in {output.name for output in graph.output} else None


def _is_planar_float(first: "onnx.NodeProto", second: "onnx.NodeProto") -> bool:
    from onnx import TensorProto, helper

    attributes = {
        (node.op_type, attribute.name): helper.get_attribute_value(attribute)
        for node in (first, second)
        for attribute in node.attribute
        if attribute.name in ("perm", "to")
    }
    return attributes == {("Transpose", "perm"): [0, 3, 1, 2], ("Cast", "to"): TensorProto.FLOAT}
