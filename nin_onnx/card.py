"""What a model file says about itself, as JSON in the ONNX metadata: readable without running the model."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, get_args

from nin_onnx.errors import ModelError
from nin_onnx.fit import Fit
from nin_onnx.machine import in_words

if TYPE_CHECKING:
    import onnx

__all__ = ["CARD_KEY", "Card", "listed", "processor", "read_card", "write_card"]

CARD_KEY = "nin_onnx.card"
KINDS = (
    dict.fromkeys(("labels", "preprocessing"), list)
    | dict.fromkeys(("height", "width", "channels", "seed"), int)
    | dict.fromkeys(("dataset", "calibration", "comparison", "test", "trained_with", "exported_with"), dict)
)
"""What JSON holds for a fact; text for the others."""
OPTIONAL = ("experiment", "source", "calibration", "comparison", "license", "test")
"""Facts that may be null."""
OF_DATA = (
    dict.fromkeys(("name", "split", "provenance", "fingerprint"), (str,))
    | dict.fromkeys(("images", "errors"), (int,))
    | dict.fromkeys(("error", "low", "high"), (int, float))
)
"""What JSON holds for the facts of a data set."""
TESTED = ("name", "split", "provenance", "images", "errors", "error", "low", "high")
"""Facts of the test data, none of which may be absent."""

RENAMED = {"licence": "license"}
"""Keys that cards had before."""
COMPARED = (
    dict.fromkeys(("errors", "net", "label_changes", "images"), int)
    | dict.fromkeys(("runtime", "processor"), str)
    | {"instructions": list}
)
"""What JSON holds for the facts of a comparison, none of which may be absent."""


@dataclass(frozen=True)
class Card:
    """The facts that whoever embeds or judges a model needs."""

    name: str
    architecture: str
    labels: tuple[str, ...]
    input: str
    """Form of the input `images`: `uint8 [batch, height, width, channels]`, or `nin_onnx.variants.FLOAT_INPUT`."""
    height: int
    width: int
    channels: int
    preprocessing: tuple[str, ...]
    """Steps inside the graph, first to last."""
    recipe: str
    """Empty for a user's own module, of whose training nothing is known."""
    experiment: str | None
    """The published figure it is measured by: a key of `nin_onnx.paper.published`."""
    dataset: Mapping[str, Any]
    """Training data: name, images, provenance, fingerprint."""
    golden: str
    """SHA-256 of the golden vectors that lie beside the file."""
    weights: str
    """SHA-256 of the checkpoint that the graph was exported from; empty where there is none."""
    precision: str = "fp32"
    """Of the network's weights and arithmetic: `fp32`, `fp16` or `int8`."""
    source: str | None = None
    """Of a variant: SHA-256 of the fp32 graph that it was made from."""
    calibration: Mapping[str, Any] | None = None
    """Of `int8`: which training images the ranges were found on, by which method, and what each method came to."""
    comparison: Mapping[str, Any] | None = None
    """Of a variant in another precision: its decisions on the test data beside those of its source, and what ran both.

    `errors`, `net` (more than the source makes), `label_changes` and `images`; `runtime`, `processor`, `instructions`.
    """
    seed: int = 0
    fit: Fit = "stretch"
    """How an image of another size comes to this one: as in `nin_onnx.images.read_image`."""
    license: str | None = None
    """Of the weights: an SPDX identifier."""
    test: Mapping[str, Any] | None = None
    """Test data, and on them errors, error and its 95 % interval, low and high, in per cent: of the PyTorch model in float32."""
    trained_with: Mapping[str, str] = field(default_factory=dict)
    """Versions of the packages."""
    exported_with: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, text: str) -> "Card":
        """The card that `to_json` wrote, in this version or another; raises `ModelError` for what is none."""
        try:
            values = json.loads(text)
            json.dumps(values, ensure_ascii=False).encode()  # half a character can be escaped in JSON, and printed nowhere
            known = {item.name for item in fields(cls)}
            given = {RENAMED.get(key, key): value for key, value in values.items() if RENAMED.get(key, key) in known}
            for key, value in given.items():
                if type(value) is not KINDS.get(key, str) and not (value is None and key in OPTIONAL):
                    raise TypeError(f"'{key}' is of another type")
            lists = {key: tuple(given[key]) for key in ("labels", "preprocessing")}
            if not all(isinstance(text, str) for text in (*lists["labels"], *lists["preprocessing"])):
                raise TypeError("labels and steps should be text")
            if given.get("fit", cls.fit) not in get_args(Fit):
                raise ValueError(f"'fit' is '{given['fit']}', expected {' or '.join(get_args(Fit))}")
            _check_data(given["dataset"])
            if given.get("test") is not None:
                _check_test(given["test"])
            if given.get("comparison") is not None:
                _check_comparison(given["comparison"])
            return cls(**given | lists)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:  # the last: brackets without end
            raise ModelError(
                f"the model's metadata '{CARD_KEY}' is not a valid nin-onnx card ({error}): export the model again"
            ) from error

    def to_json(self) -> str:
        """One line of JSON with sorted keys; a comparison that was never made is left out."""
        facts = asdict(self)
        if self.comparison is None:
            del facts["comparison"]
        return json.dumps(facts, sort_keys=True, ensure_ascii=False)


def _check_data(told: Mapping[str, Any]) -> None:
    """Raise `TypeError` where a fact of a data set is of another type than readers print."""
    for key, kinds in OF_DATA.items():
        if key in told and type(told[key]) not in kinds:
            raise TypeError(f"'{key}' of a data set is of another type")


def _check_test(told: Mapping[str, Any]) -> None:
    """Raise `ValueError` or `TypeError` where an error rate lacks a fact, or counts what cannot be."""
    if lacking := [key for key in TESTED if key not in told]:
        raise ValueError(f"the test data lack '{lacking[0]}'")
    _check_data(told)
    if not 0 <= told["errors"] <= told["images"] or told["images"] < 1:
        raise ValueError(f"{told['errors']} errors of {told['images']} images")


def _check_comparison(told: Mapping[str, Any]) -> None:
    """Raise `ValueError` or `TypeError` if the comparison of a variant lacks a fact, or has one that readers cannot print."""
    if lacking := [key for key in COMPARED if key not in told]:
        raise ValueError(f"the comparison lacks '{lacking[0]}'")
    for key, kind in COMPARED.items():
        if type(told[key]) is not kind:
            raise TypeError(f"'{key}' of the comparison is of another type")
    if not all(isinstance(name, str) for name in told["instructions"]):
        raise TypeError("instruction sets should be text")


def listed(labels: Iterable[str]) -> str:
    """Labels as a reader sees them, parted by commas; one that holds a comma itself stands in quotation marks, as in JSON."""
    return ", ".join(json.dumps(label, ensure_ascii=False) if {*',"'} & {*label} else label for label in labels)


def processor(comparison: Mapping[str, Any]) -> str:
    """Return on what a comparison was made, in words."""
    return f"{comparison['processor']} ({in_words(comparison['instructions'])})"


def write_card(model: "onnx.ModelProto", card: Card) -> None:
    """Put `card` into the metadata of `model`, with the keys that the ONNX specification defines for images."""
    entries = {
        CARD_KEY: card.to_json(),
        "Image.BitmapPixelFormat": "Gray8" if card.channels == 1 else "Rgb8",
        "Image.ColorSpaceGamma": "SRGB",
        "Image.NominalPixelRange": "NominalRange_0_255",
    }
    kept = [entry for entry in model.metadata_props if entry.key not in entries]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)


def read_card(model: "onnx.ModelProto") -> Card | None:
    """The card of `model`, or None where it has none; raises `ModelError` for one that cannot be read."""
    text = next((entry.value for entry in model.metadata_props if entry.key == CARD_KEY), None)
    return None if text is None else Card.from_json(text)
