"""A run, or a user's own module, becomes a model folder."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import onnx
from numpy.typing import NDArray

from nin_onnx.card import Card, write_card
from nin_onnx.errors import ModelError, RunError, require
from nin_onnx.export.check_golden import check_golden
from nin_onnx.export.model_folder import Variant, VariantExport, write_model_folder
from nin_onnx.export.options import ExportOptions, Settings, check_known, settings_from
from nin_onnx.export.overwrite import check_overwrite
from nin_onnx.export.passes import PassReport, run_passes
from nin_onnx.golden import Golden
from nin_onnx.machine import versions
from nin_onnx.precision import VARIANTS
from nin_onnx.variants import INPUTS, UINT8_INPUT

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nin_onnx.architecture import Shape
    from nin_onnx.export.module import ModuleClassifier
    from nin_onnx.train.checkpoint import Checkpoint
    from nin_onnx.train.network import ImageClassifier, TorchClassifier

__all__ = ["Export", "VariantExport", "export", "export_run"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What a model is called: it becomes a file's name in bundles, and a folder's."""
MakeVariants = Callable[[onnx.ModelProto, Golden, Card], Mapping[str, Variant]]
"""Returns the variants of an exported graph, given its golden vectors and its card, by the names of their folders."""


@dataclass(frozen=True)
class Export:
    """What an export made."""

    model: Path
    size: int
    """Bytes of `model`."""
    card: Card
    passes: tuple[PassReport, ...]
    variants: tuple[VariantExport, ...] = ()


def export_run(
    folder: Path,
    out: Path | None = None,
    *,
    precisions: Sequence[str] = VARIANTS[:1],
    inputs: Sequence[str] = INPUTS[:1],
    data_dir: Path | None = None,
    **options: Unpack[ExportOptions],
) -> Export:
    """Export the trained classifier of the run `folder` into the model folder `out`, by default `folder`/model.

    model.onnx is in fp32 and takes uint8; each other of `precisions` and of `inputs` gets a folder beside it. Precisions other
    than fp32 need ONNX Runtime and the training images, below `data_dir`.

    The model folder is moved to its place when every check has passed, instead of an earlier one; otherwise nothing is
    written. Raises `RunError` for a folder without checkpoint or an `out` that is something else, `ExportError` if a check
    fails, `DataError` if the training images are not at hand.
    """
    _require_packages()
    settings = settings_from(options)
    check_known("precision", precisions, VARIANTS)
    check_known("input", inputs, INPUTS)
    for precision in VARIANTS[1:]:
        if precision in precisions:
            require(f"the variant '{precision}'", "cpu", "onnxruntime")  # before the work begins
    from nin_onnx.export.variant import VariantRequest, make_variants
    from nin_onnx.run import Run
    from nin_onnx.train.checkpoint import load_classifier, sha256

    weights = Run(folder).trained()
    target = out or folder / "model"
    check_overwrite(target)
    classifier, checkpoint = load_classifier(weights)
    if settings.dynamic_size:
        _check_any_size(checkpoint.recipe.preprocessing, classifier.input)
    card = replace(_run_card(classifier, checkpoint), license=settings.license, test=_tested(folder), weights=sha256(weights))
    variants = partial(make_variants, VariantRequest(classifier, checkpoint, precisions, inputs, data_dir))
    return _export(classifier, card, target, settings, weights, variants)


def export(
    module: "nn.Module",
    example: "Tensor | NDArray[Any]",
    out: Path,
    *,
    name: str,
    labels: Sequence[str],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **options: Unpack[ExportOptions],
) -> Export:
    """Export your own classifier into the model folder `out`, with all that `export_run` does; `module` stays as it is.

    `example` is a batch of images as `module` takes it: uint8 [batch, height, width, channels], which is then all that happens
    to the pixels, or float32 [batch, channels, height, width]; then the graph makes 0…1 of the pixels first, subtracts `mean`
    and divides by `std`, one number for each channel. `module` gives scores [batch, classes], or class maps [batch, classes,
    h, w], whose means are the scores. `labels`: one for each class.

    Raises `ModelError` for a module or labels that are not valid, `RunError` for an `out` that is something else than an
    earlier export, `ExportError` if torch cannot export it or a check fails; then nothing is written.
    """
    _require_packages()
    settings = settings_from(options)
    from nin_onnx.export.module import wrap_module

    _check_names(name, labels)
    check_overwrite(out)
    classifier = wrap_module(module, example, len(labels), mean, std)
    card = replace(_module_card(classifier, name, labels), license=settings.license)
    return _export(classifier, card, out, settings)


def _require_packages() -> None:
    require("export", "train", "torch", "safetensors", "onnxscript", "onnxsim")


def _check_names(name: str, labels: Sequence[object]) -> None:
    """Raise `ModelError` unless `name` can be a file's name, and `labels` are text."""
    if not NAME.fullmatch(name):
        raise ModelError(f"the name is '{name}', expected a letter or digit, and after it also '.', '_' and '-'")
    if not all(isinstance(label, str) for label in labels):
        raise ModelError(f"the labels are '{list(labels)}', expected text for each class")


def _check_any_size(steps: Sequence[str], shape: "Shape") -> None:
    """Raise `RunError` for the first of the preprocessing `steps` that is fitted to images of `shape`."""
    from nin_onnx.train.preprocessing import STEPS

    _, height, width = shape
    for step in steps:
        if not STEPS[step].any_size:
            raise RunError(f"the preprocessing '{step}' was fitted to images of {height} × {width}: leave --dynamic-size out")


def _run_card(classifier: "TorchClassifier", checkpoint: "Checkpoint") -> Card:
    """Return what the checkpoint of a run says for the card."""
    recipe = checkpoint.recipe
    name = classifier.network.architecture.name
    return Card(
        **_interface(classifier.input),
        name=name,
        architecture=name,
        labels=checkpoint.labels,
        preprocessing=recipe.preprocessing,
        recipe=recipe.name,
        seed=checkpoint.seed,
        fit=recipe.folder.fit if recipe.folder else "stretch",
        experiment=recipe.experiment,
        dataset=checkpoint.dataset,
        golden="",
        weights="",
        trained_with=checkpoint.versions,
    )


def _module_card(classifier: "ModuleClassifier", name: str, labels: Sequence[str]) -> Card:
    """Return what is known for the card of a user's own module."""
    steps = classifier.preprocessing.named_children() if classifier.preprocessing else ()
    return Card(
        **_interface(classifier.input),
        name=name,
        architecture=type(classifier.network).__name__,
        labels=tuple(labels),
        preprocessing=tuple(step for step, _ in steps),
        recipe="",
        experiment=None,
        dataset={},
        golden="",
        weights="",
    )


def _interface(shape: "Shape") -> dict[str, Any]:
    """Return what a card says of the input of a graph for images of `shape`."""
    channels, height, width = shape
    return {"input": UINT8_INPUT, "height": height, "width": width, "channels": channels}


def _tested(folder: Path) -> Mapping[str, Any] | None:
    """Return what the run's summary says of the test data; None if it was not looked at."""
    from nin_onnx.run import Run

    found: Mapping[str, Any] | None = Run(folder).summary().get("test") if (folder / "summary.json").exists() else None
    return found


def _export(
    classifier: "ImageClassifier",
    card: Card,
    target: Path,
    settings: Settings,
    weights: Path | None = None,
    make_variants: MakeVariants = lambda model, golden, card: {},
) -> Export:
    """Write the model folder of `classifier`; `card` lacks the golden hash and our versions, `weights` is copied into it."""
    from nin_onnx.export.to_onnx import golden_vectors, module_values, other_golden_vectors, to_onnx

    other = other_golden_vectors(classifier) if settings.dynamic_size else None
    golden = golden_vectors(classifier)
    graph = to_onnx(classifier, dynamic_size=True) if settings.dynamic_size else to_onnx(classifier)
    model, passes = run_passes(graph, golden, settings.passes, partial(module_values, classifier))
    if other:
        check_golden(model, other)
    card = replace(card, golden=golden.hash, exported_with=versions(("torch", "onnx", "onnxscript", "onnxsim")))
    model.graph.name = card.name
    write_card(model, card)
    variants = make_variants(model, golden, card)
    first, *others = write_model_folder(target, Variant(model, golden, card), variants, settings.bundles, weights)
    return Export(first.model, first.size, card, tuple(passes), tuple(others))
