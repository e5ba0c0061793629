"""The model file as `eval` sees it before any runtime does: whether it is an image classifier, and what fits it."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from nin_onnx.card import Card, read_card
from nin_onnx.data.dataset import Dataset
from nin_onnx.eight_bits.qdq import FORMS, in_8_bits
from nin_onnx.errors import ModelError
from nin_onnx.graph import PRODUCTS, external_files, graph_inputs, opset
from nin_onnx.precision import coarsest
from nin_onnx.printable import printable
from nin_onnx.variants import FLOAT_INPUT, planar

if TYPE_CHECKING:
    import onnx

__all__ = ["GraphInfo", "ModelFile", "graph_precision", "read_model"]

TYPES = {1: "float32", 2: "uint8", 10: "float16", 11: "float64"}
"""ONNX's number of a type (TensorProto.DataType), and NumPy's name for it."""
FLOATS = (1, 10, 11)
AXES = 32
"""As many as every NumPy can give an array."""

Dimension = int | str | None
"""A size, the name of a free one, or nothing."""


@dataclass(frozen=True)
class GraphInfo:
    """What a runtime in its worker has to know of the graph, so that it need not read it."""

    path: Path
    input: str
    outputs: tuple[str, ...]
    """All of them, in the graph's order."""
    precision: str | None
    """Of the weights: a key of `nin_onnx.precision.PRECISIONS`; None if it has none that are known."""


@dataclass(frozen=True)
class ModelFile:
    """An ONNX file with one input, as `nin-onnx export` writes it or from elsewhere."""

    path: Path
    size: int
    """Bytes, of the external files too."""
    sha256: str
    """Of the file, and where there are external ones, of what these hold behind it."""
    ir: int
    opset: int
    input: tuple[Dimension, ...]
    """batch, height, width, channels, or as the card's form of input has them; of a foreign model whatever it says."""
    classes: int
    """How many it tells apart; 0 for a foreign model, of whose outputs nothing is known."""
    card: Card | None
    foreign: bool = False
    """Whether it is not of the form `images`: uint8 [batch, height, width, channels], to `logits`: [batch, classes].

    A card may say that it is the variant of that with float32 input.
    """
    input_type: str = "uint8"
    outputs: tuple[str, ...] = ()
    """Those that hold floating point numbers."""
    external: tuple[str, ...] = ()
    """Files with weights, by their paths from the model's folder."""
    input_name: str = "images"
    output_names: tuple[str, ...] = ()
    """All of them, in the graph's order."""
    precision: str | None = None
    """Of the weights: a key of `nin_onnx.precision.PRECISIONS`; None if it has none that are known."""
    quantized: bool = False
    """Whether it may multiply 8-bit numbers."""
    proto: "onnx.ModelProto | None" = field(default=None, repr=False, compare=False)
    """The graph as it was read, without the weights of its external files."""

    @property
    def graph_info(self) -> GraphInfo:
        return GraphInfo(self.path.absolute(), self.input_name, self.output_names, self.precision)

    @property
    def graph(self) -> "onnx.GraphProto":
        assert self.proto is not None
        return self.proto.graph

    def with_weights(self) -> "onnx.ModelProto":
        """Return the graph with the weights of its external files."""
        import onnx

        assert self.proto is not None
        if not self.external:
            return self.proto
        model = onnx.ModelProto()
        model.CopyFrom(self.proto)
        onnx.load_external_data_for_model(model, str(self.path.parent))
        return model

    def to_dict(self) -> dict[str, Any]:
        """Return its facts, ready for JSON."""
        facts = asdict(replace(self, proto=None)) | {"path": str(self.path)}
        del facts["proto"]
        return facts

    @property
    def fixed_batch(self) -> int | None:
        """The only size of a batch that it takes, None where that is free."""
        return self.input[0] if isinstance(self.input[0], int) else None

    @property
    def image(self) -> tuple[Dimension, ...]:
        """Height, width and channels of the images, where it is not foreign."""
        if self.input_type == "uint8":
            return self.input[1:]
        channels, height, width = self.input[1:]
        return height, width, channels

    def given(self, images: NDArray[Any]) -> NDArray[Any]:
        """Images uint8 [N, height, width, channels] in the form that it takes."""
        return images if self.input_type == "uint8" else planar(images)

    def check(self, dataset: Dataset) -> None:
        """Raise `ModelError` unless images and classes of `dataset` are those of the model."""
        if self.foreign:
            raise ModelError(
                f"'{self.path}' does not take 'images: uint8 [batch, height, width, channels]' to 'logits: [batch, classes]', "
                "so its error cannot be measured: leave --dataset and --images out"
            )
        given = dataset.images.shape[1:]
        if any(isinstance(side, int) and side != other for side, other in zip(self.image, given, strict=True)):
            raise ModelError(
                f"'{self.path}' takes images of {_by(self.image)} (height × width × channels), "
                f"the data set '{dataset.name}' has {_by(given)}: give another model or --dataset"
            )
        if self.classes != len(dataset.classes):
            raise ModelError(
                f"'{self.path}' tells {self.classes} classes apart, the data set '{dataset.name}' has {len(dataset.classes)}: "
                "give another model or --dataset"
            )
        if self.card and self.card.labels != dataset.classes:
            ours, theirs = next(pair for pair in zip(self.card.labels, dataset.classes, strict=True) if pair[0] != pair[1])
            raise ModelError(
                f"'{self.path}' has the label '{ours}' where the data set '{dataset.name}' has '{theirs}': "
                "give another model or --dataset"
            )


def read_model(path: Path) -> ModelFile:
    """The facts of the ONNX model at `path`; raises `ModelError` for what is none, or takes or gives no array of numbers."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model '{path}' ({error.strerror}): give the path of an .onnx file") from error
    try:
        model = onnx.load_model_from_string(content)
        external = external_files(model)
        onnx.checker.check_model(str(path) if external else model)  # with the path, it looks for them beside the model
        if not all(isinstance(text, str) for text in _names(model)):
            raise ValueError("a name in it is no text")
        content += b"".join((path.parent / file).read_bytes() for file in external)
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
    except (DecodeError, onnx.checker.ValidationError, ValueError, TypeError, OSError) as error:  # text that is no text, or bytes
        reason = (str(error).strip().splitlines() or ["no protobuf"])[0][:300]  # of a broken file even names may be endless
        raise ModelError(
            f"'{path}' is no valid ONNX file, is truncated, or is too new for this onnx ({reason}): "
            "export it again, give another, or pip install -U onnx"
        ) from error


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


def _by(shape: tuple[Dimension, ...]) -> str:
    return " × ".join(str(side or "?") for side in shape)
