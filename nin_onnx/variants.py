"""The forms of an exported graph, its variants: precisions, and inputs for runtimes that cannot take the first."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nin_onnx.card import read_card, write_card
from nin_onnx.errors import ModelError
from nin_onnx.graph import attributes, copied, replace_all
from nin_onnx.precision import FP32

if TYPE_CHECKING:
    import onnx

__all__ = ["FLOAT_INPUT", "INPUTS", "UINT8_INPUT", "float_input", "folder_name", "planar"]

INPUTS = ("uint8", "float32")
"""The first is what an export always takes; the other form is made of it."""

UINT8_INPUT = "uint8 [batch, height, width, channels]"
"""What a card says of the default input: raw pixels as an image decoder gives them."""

FLOAT_INPUT = "float32 [batch, channels, height, width]"
"""What the variant's card says of its input: raw pixels 0…255, the preprocessing still inside the graph."""


def folder_name(precision: str, form: str) -> str:
    """Return the folder of a variant below its model's, with a model.onnx of its own; empty for what the others are made of."""
    parts = [precision] * (precision != FP32.name) + [f"{form}-input"] * (form != INPUTS[0])
    return "-".join(parts)


def planar(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return images [N, height, width, channels] as that variant takes them: float32 [N, channels, height, width], 0…255."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)


def float_input(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Return `model` with float32 [batch, channels, height, width] as `images`, not uint8 [batch, height, width, channels].

    The Transpose and the Cast that the graph begins with, in either order, are what falls away; everything after them is the
    same. Raises `ModelError` for a graph that begins in another way.
    """
    from onnx import TensorProto, helper

    result = copied(model)
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
    replace_all(graph.node, [node for node in graph.node if not gone.intersection(node.output)])
    replace_all(graph.value_info, [info for info in graph.value_info if info.name not in gone])
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
    """Return the node that reads `value`, if it is the only one and the value is not an output of the graph."""
    readers = [node for node in graph.node if value in node.input]
    return readers[0] if len(readers) == 1 and value not in {output.name for output in graph.output} else None


def _is_planar_float(first: "onnx.NodeProto", second: "onnx.NodeProto") -> bool:
    from onnx import TensorProto

    found = {node.op_type: attributes(node) for node in (first, second)}
    return (
        found.keys() == {"Transpose", "Cast"}
        and found["Transpose"].get("perm") == [0, 3, 1, 2]
        and found["Cast"].get("to") == TensorProto.FLOAT
    )
