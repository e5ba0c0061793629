"""The model file as `eval` sees it before any runtime does: whether it is an image classifier, and what fits it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nin_onnx.card import Card, read_card
from nin_onnx.data.dataset import Dataset
from nin_onnx.errors import ModelError

if TYPE_CHECKING:
    import onnx

__all__ = ["ModelFile", "input_name", "output_names", "read_model"]

Dimension = int | str | None
"""A size, the name of a free one, or nothing."""


@dataclass(frozen=True)
class ModelFile:
    """An ONNX file that takes `images` and gives `logits`."""

    path: Path
    size: int
    """Bytes."""
    sha256: str
    ir: int
    opset: int
    input: tuple[Dimension, ...]
    """batch, height, width, channels."""
    classes: int
    card: Card | None

    def check(self, dataset: Dataset) -> None:
        """Raise `ModelError` unless images and classes of `dataset` are those of the model."""
        given = dataset.images.shape[1:]
        if any(isinstance(side, int) and side != other for side, other in zip(self.input[1:], given, strict=True)):
            raise ModelError(
                f"'{self.path}' takes images of {_by(self.input[1:])} (height × width × channels), "
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
    """The facts of the ONNX image classifier at `path`; raises `ModelError` for anything else."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model '{path}' ({error.strerror}): give the path of an .onnx file") from error
    try:
        model = onnx.load_model_from_string(content)
        onnx.checker.check_model(model)
        return ModelFile(
            path=path,
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            ir=model.ir_version,
            opset=next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0),
            input=_input(path, model),
            classes=_classes(path, model),
            card=read_card(model),
        )
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:  # ValueError: text that is no text, types unknown
        reason = (str(error).strip().splitlines() or ["no protobuf"])[0]
        raise ModelError(
            f"'{path}' is no valid ONNX file, is truncated, or is too new for this onnx ({reason}): "
            "export it again, give another, or pip install -U onnx"
        ) from error


def input_name(path: Path) -> str:
    """What the graph at `path` calls its input."""
    import onnx

    graph = onnx.load(path).graph
    weights = {tensor.name for tensor in graph.initializer}
    return str(next(value.name for value in graph.input if value.name not in weights))


def output_names(path: Path) -> tuple[str, ...]:
    """What the graph at `path` calls its outputs, in its own order."""
    import onnx

    return tuple(value.name for value in onnx.load(path).graph.output)


def _input(path: Path, model: "onnx.ModelProto") -> tuple[Dimension, ...]:
    weights = {tensor.name for tensor in model.graph.initializer}  # old exporters list them among the inputs
    inputs = [value for value in model.graph.input if value.name not in weights]
    found = [_describe(value) for value in inputs]
    expected = "images: uint8 [batch, height, width, channels]"
    if len(inputs) == 1 and inputs[0].name == "images":
        shape = _shape(inputs[0])
        if found[0].startswith("images: uint8") and len(shape) == 4 and not isinstance(shape[0], int):
            return shape
    raise ModelError(f"'{path}' should take '{expected}', it takes '{', '.join(found)}': export it with nin-onnx export")


def _classes(path: Path, model: "onnx.ModelProto") -> int:
    for value in model.graph.output:
        shape = _shape(value)
        if value.name == "logits" and len(shape) == 2 and isinstance(shape[1], int):
            return shape[1]
    found = ", ".join(map(_describe, model.graph.output))
    raise ModelError(f"'{path}' should give 'logits: [batch, classes]', it gives '{found}': export it with nin-onnx export")


def _shape(value: "onnx.ValueInfoProto") -> tuple[Dimension, ...]:
    dimensions = value.type.tensor_type.shape.dim
    return tuple(side.dim_value if side.HasField("dim_value") else side.dim_param or None for side in dimensions)


def _describe(value: "onnx.ValueInfoProto") -> str:
    from onnx import TensorProto

    kind = TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
    return f"{value.name}: {kind} [{', '.join(str(side or '?') for side in _shape(value))}]"


def _by(shape: tuple[Dimension, ...]) -> str:
    return " × ".join(str(side or "?") for side in shape)
