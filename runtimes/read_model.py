"""Reads a model file once: whether it is valid, and its facts."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nin_onnx.card import Card, read_card
from nin_onnx.eight_bits.qdq import FORMS, in_8_bits
from nin_onnx.errors import ModelError
from nin_onnx.graph import PRODUCTS, external_files, graph_inputs, opset
from nin_onnx.precision import coarsest
from nin_onnx.printable import printable
from nin_onnx.runtimes.model import Dimension, ModelFile
from nin_onnx.variants import FLOAT_INPUT

if TYPE_CHECKING:
    import onnx

__all__ = ["FLOATS", "graph_precision", "read_model"]

TYPES = {1: "float32", 2: "uint8", 10: "float16", 11: "float64"}
"""ONNX's number of a type (TensorProto.DataType), and NumPy's name for it."""
FLOATS = (1, 10, 11)
AXES = 32
"""As many as every NumPy can give an array."""


def read_model(path: Path) -> ModelFile:
    """Return the facts of the ONNX model at `path`; raises `ModelError` unless it takes and gives arrays of numbers."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model '{path}' ({error.strerror}): give the path of an .onnx file") from error
    try:
        model = onnx.load_model_from_string(content)
        external = external_files(model)
        onnx.checker.check_model(str(path) if external else model)  # with the path, it looks for them next to the model
        if not all(isinstance(text, str) for text in _names(model)):
            raise ValueError("a name in it is not text")
        content += b"".join((path.parent / file).read_bytes() for file in external)
        return _facts(path, model, content, external)
    except (DecodeError, onnx.checker.ValidationError, ValueError, TypeError, OSError) as error:  # text that is no text, or bytes
        reason = (str(error).strip().splitlines() or ["no protobuf"])[0][:300]  # of a broken file even names may be endless
        raise ModelError(
            f"'{path}' is no valid ONNX file, is truncated, or is too new for this onnx ({reason}): "
            "export it again, give another, or pip install -U onnx"
        ) from error


def _facts(path: Path, model: "onnx.ModelProto", content: bytes, external: tuple[str, ...]) -> ModelFile:
    value = _input(path, model)
    card = read_card(model)
    classes = _classes(model) if _is_pixels(value, card) else None
    return ModelFile(
        path=path,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        ir=model.ir_version,
        opset=opset(model),
        input=_shape(value),
        classes=classes or 0,
        card=card,
        foreign=classes is None,
        input_type=TYPES[value.type.tensor_type.elem_type],
        outputs=_outputs(path, model),
        external=external,
        input_name=value.name,
        output_names=tuple(output.name for output in model.graph.output),
        precision=graph_precision(model.graph),
        quantized=in_8_bits(model),
        proto=model,
    )


def graph_precision(graph: "onnx.GraphProto") -> str | None:
    """Return what the weights of convolutions and products are in, the coarsest of them; None if there are none.

    A weight that a DequantizeLinear gives counts as what that reads; an operator that itself multiplies 8-bit numbers is "int8".
    """
    from onnx import TensorProto

    if any(node.op_type in FORMS for node in graph.node):
        return "int8"
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    constants = (node for node in graph.node if node.op_type == "Constant")
    types |= {node.output[0]: part.t.data_type for node in constants for part in node.attribute if part.name == "value"}
    quantized = (node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in types)
    types |= {node.output[0]: types[node.input[0]] for node in quantized}
    found = {types[name] for node in graph.node if node.op_type in PRODUCTS for name in node.input if name in types}
    return coarsest([name for name, kind in TensorProto.DataType.items() if kind in found])


def _names(model: "onnx.ModelProto") -> Iterator[str | bytes]:
    """What stands in the graph as text; where that is no UTF-8, protobuf gives bytes."""
    graph = model.graph
    for value in (*graph.input, *graph.output, *graph.initializer, *graph.node):
        yield value.name
    for value in (*graph.input, *graph.output):
        yield from (side.dim_param for side in value.type.tensor_type.shape.dim)
    for node in graph.node:
        yield from (node.op_type, node.domain, *node.input, *node.output)


def _input(path: Path, model: Any) -> Any:
    """The one input, of a type and shape that it can be tried with."""
    inputs = graph_inputs(model.graph)
    if len(inputs) == 1 and inputs[0].type.tensor_type.elem_type in TYPES:
        (value,) = inputs
        if 2 <= len(_shape(value)) <= AXES:
            return value
    found = ", ".join(map(_describe, inputs))
    raise ModelError(f"'{path}' should take one array of uint8 or floating point numbers for a batch, it takes '{found}'")


def _outputs(path: Path, model: "onnx.ModelProto") -> tuple[str, ...]:
    """The outputs that can be compared, at least one."""
    names = tuple(output.name for output in model.graph.output if output.type.tensor_type.elem_type in FLOATS)
    if names:
        return names
    found = ", ".join(map(_describe, model.graph.output))
    raise ModelError(f"'{path}' should give an array of floating point numbers, it gives '{found}': export it with its scores")


def _is_pixels(value: "onnx.ValueInfoProto", card: Card | None) -> bool:
    shape = _shape(value)
    expected = "float32" if card and card.input == FLOAT_INPUT else "uint8"
    kind = TYPES[value.type.tensor_type.elem_type]
    return value.name == "images" and kind == expected and len(shape) == 4 and not isinstance(shape[0], int)


def _classes(model: "onnx.ModelProto") -> int | None:
    for value in model.graph.output:
        shape = _shape(value)
        if value.name == "logits" and len(shape) == 2 and isinstance(shape[1], int):
            return shape[1]
    return None


def _shape(value: "onnx.ValueInfoProto") -> tuple[Dimension, ...]:
    """Sizes below one are free ones: some exporters write 0 or -1 for what they do not know."""
    dimensions = value.type.tensor_type.shape.dim
    return tuple(side.dim_value if side.dim_value > 0 else side.dim_param or None for side in dimensions)


def _describe(value: "onnx.ValueInfoProto") -> str:
    from onnx import TensorProto

    kind = TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
    words = f"{value.name}: {kind} [{', '.join(str(side or '?') for side in _shape(value))}]"
    return printable(words[:300], "?")  # one line, whatever the names hold
