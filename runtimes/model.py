"""The model file as `eval` sees it before any runtime does, and which images and data sets fit it."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from nin_onnx.card import Card
from nin_onnx.data.dataset import Dataset
from nin_onnx.errors import ModelError
from nin_onnx.variants import planar

if TYPE_CHECKING:
    import onnx

__all__ = ["Dimension", "GraphInfo", "ModelFile"]

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


def _by(shape: tuple[Dimension, ...]) -> str:
    return " × ".join(str(side or "?") for side in shape)
