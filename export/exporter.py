"""A run, or a user's own module, becomes a model folder: the graph, the weights it was made from, and its golden vectors.

README.md            its card, for readers
model.onnx           the classifier, raw pixels in, with its card
model.safetensors    the same in PyTorch
test_data_set_0/     golden vectors
zoo/, triton/        bundles, where they were asked for
fp16/, int8/, …      variants, each a folder of a graph and of golden vectors of its own
"""

import re
import shutil
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from numpy.typing import NDArray

from nin_onnx import atomic
from nin_onnx.card import Card, write_card
from nin_onnx.errors import ModelError, RunError, UnknownNameError, require
from nin_onnx.export import model_card
from nin_onnx.export.bundles import BUNDLES, write_bundles
from nin_onnx.export.overwrite import check_overwrite
from nin_onnx.export.passes import PASSES, Pass, PassResult, run
from nin_onnx.export.passes.check_golden import check_golden
from nin_onnx.golden import Golden, write_golden
from nin_onnx.machine import versions
from nin_onnx.statistics import Paired
from nin_onnx.variants import INPUTS, PRECISIONS, UINT8_INPUT

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nin_onnx.export.variant import Variant
    from nin_onnx.train.network import ImageClassifier

__all__ = ["Export", "VariantExport", "export", "export_run"]

ANY_SIZE = {"scale", "standardize"}
"""Steps of the preprocessing that do the same to images of another size."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What a model is called: it becomes a file's name in bundles, and a folder's."""
Makes = Callable[[onnx.ModelProto, Golden, Card], Mapping[str, "Variant"]]
"""Of an exported graph, its golden vectors and its card: its variants, by the names of their folders."""


@dataclass(frozen=True)
class VariantExport:
    """One more form of the graph."""

    model: Path
    size: int
    """Bytes of `model`."""
    card: Card
    comparison: Paired | None
    """Its decisions beside those of the fp32 graph, on validation images; None where the precision is the same."""


@dataclass(frozen=True)
class Export:
    """What an export made."""

    model: Path
    size: int
    """Bytes of `model`."""
    card: Card
    passes: tuple[PassResult, ...]
    variants: tuple[VariantExport, ...] = ()


def export_run(
    folder: Path,
    out: Path | None = None,
    passes: tuple[Pass, ...] = PASSES,
    license: str | None = None,
    bundles: Sequence[str] = (),
    *,
    precisions: Sequence[str] = PRECISIONS[:1],
    inputs: Sequence[str] = INPUTS[:1],
    data_dir: Path | None = None,
    dynamic_size: bool = False,
) -> Export:
    """Export the trained classifier of the run `folder` into the model folder `out`, by default `folder`/model.

    `license` is that of the weights, as SPDX writes it. `bundles`: other layouts to write as well, keys of
    `nin_onnx.export.bundles.BUNDLES`. model.onnx is in fp32 and takes uint8; each other of `precisions` and of `inputs` gets
    a folder beside it. Precisions other than fp32 need ONNX Runtime and the training images, below `data_dir`.
    `dynamic_size`: the graph takes images of any height and width.

    The model folder is moved to its place when every check has passed, instead of an earlier one; otherwise nothing is
    written. Raises `RunError` for a folder without checkpoint or an `out` that is something else, `ExportError` where a
    check fails, `DataError` where the training images are not at hand.
    """
    _require()
    from nin_onnx.export.variant import make_variants
    from nin_onnx.run import Run
    from nin_onnx.train.checkpoint import load_classifier, sha256

    _check_known("bundle", bundles, BUNDLES)
    _check_known("precision", precisions, PRECISIONS)
    _check_known("input", inputs, INPUTS)
    for precision in PRECISIONS[1:]:
        if precision in precisions:
            require(f"the variant '{precision}'", "cpu", "onnxruntime")  # before the work begins
    source = Run(folder).trained()
    target = out or folder / "model"
    check_overwrite(target)
    classifier, checkpoint = load_classifier(source)
    recipe = checkpoint.recipe
    table = classifier.network.architecture
    channels, height, width = table.input
    if dynamic_size and (fixed := [step for step in recipe.preprocessing if step not in ANY_SIZE]):
        raise RunError(f"the preprocessing '{fixed[0]}' was fitted to images of {height} × {width}: leave --dynamic-size out")
    card = Card(
        name=table.name,
        architecture=table.name,
        labels=checkpoint.labels,
        input=UINT8_INPUT,
        height=height,
        width=width,
        channels=channels,
        preprocessing=recipe.preprocessing,
        recipe=recipe.name,
        seed=checkpoint.seed,
        fit=recipe.folder.fit if recipe.folder else "stretch",
        license=license,
        test=_tested(folder),
        experiment=recipe.experiment,
        dataset=checkpoint.dataset,
        golden="",
        weights=sha256(source),
        trained_with=checkpoint.versions,
    )
    more = partial(make_variants, classifier, checkpoint, precisions, inputs, data_dir)
    return _export(classifier, card, target, passes, bundles, source, more, dynamic_size)


def export(
    module: "nn.Module",
    example: "Tensor | NDArray[Any]",
    out: Path,
    *,
    name: str,
    labels: Sequence[str],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    license: str | None = None,
    bundles: Sequence[str] = (),
    passes: tuple[Pass, ...] = PASSES,
    dynamic_size: bool = False,
) -> Export:
    """Export your own classifier into the model folder `out`, with all that `export_run` does; `module` stays as it is.

    `example` is a batch of images as `module` takes it: uint8 [batch, height, width, channels], which is then all that happens
    to the pixels, or float32 [batch, channels, height, width]; then the graph makes 0…1 of the pixels first, subtracts `mean`
    and divides by `std`, one number for each channel. `module` gives scores [batch, classes], or class maps [batch, classes,
    h, w], whose means are the scores. `labels`: one for each class. `license`, `bundles` and `dynamic_size` as for
    `export_run`.

    Raises `ModelError` for a module or labels that are no such thing, `RunError` for an `out` that is something else than an
    earlier export, `ExportError` where torch cannot export it or a check fails; then nothing is written.
    """
    _require()
    from nin_onnx.export.module import wrapped

    if not NAME.fullmatch(name):
        raise ModelError(f"the name is '{name}', expected a letter or digit, and after it also '.', '_' and '-'")
    if not all(isinstance(label, str) for label in labels):
        raise ModelError(f"the labels are '{list(labels)}', expected text for each class")
    _check_known("bundle", bundles, BUNDLES)
    check_overwrite(out)
    classifier = wrapped(module, example, len(labels), mean, std)
    channels, height, width = classifier.input
    card = Card(
        name=name,
        architecture=type(module).__name__,
        labels=tuple(labels),
        input=UINT8_INPUT,
        height=height,
        width=width,
        channels=channels,
        preprocessing=tuple(step for step, _ in classifier.preprocessing.named_children()) if classifier.preprocessing else (),
        recipe="",
        experiment=None,
        dataset={},
        golden="",
        weights="",
        license=license,
    )
    return _export(classifier, card, out, passes, bundles, dynamic_size=dynamic_size)


def _require() -> None:
    require("export", "train", "torch", "safetensors", "onnxscript", "onnxsim")


def _export(
    classifier: "ImageClassifier",
    card: Card,
    target: Path,
    passes: tuple[Pass, ...],
    bundles: Sequence[str],
    weights: Path | None = None,
    more: Makes | None = None,
    dynamic_size: bool = False,
) -> Export:
    """The model folder of `classifier`; `card` lacks the golden hash and our versions, `weights` is copied into the folder."""
    from nin_onnx.export.to_onnx import golden_vectors, module_values, other_golden_vectors, to_onnx

    other = other_golden_vectors(classifier) if dynamic_size else None
    golden = golden_vectors(classifier)
    graph = to_onnx(classifier, dynamic_size=True) if dynamic_size else to_onnx(classifier)
    model, results = run(graph, golden, passes, partial(module_values, classifier))
    if other:
        check_golden(model, other)
    card = replace(card, golden=golden.hash, exported_with=versions(("torch", "onnx", "onnxscript", "onnxsim")))
    model.graph.name = card.name
    write_card(model, card)
    variants = more(model, golden, card) if more else {}
    with atomic.whole_folder(target) as staging:
        size = _write(staging, model, golden)
        (staging / "README.md").write_text(_read_me(card, golden, variants), encoding="utf-8")
        if weights:
            shutil.copyfile(weights, staging / "model.safetensors")
        made = tuple(
            VariantExport(target / name / "model.onnx", _write(staging / name, one.model, one.golden), one.card, one.comparison)
            for name, one in variants.items()
        )
        write_bundles(staging, card.name, bundles)
        check_overwrite(target)  # what was put there meanwhile is not lost
    return Export(target / "model.onnx", size, card, tuple(results), made)


def _read_me(card: Card, golden: Golden, variants: Mapping[str, "Variant"]) -> str:
    """The card of the whole folder, for readers."""
    return model_card.render(card, "class_maps" in golden.outputs, {name: one.card for name, one in variants.items()})


def _write(folder: Path, model: onnx.ModelProto, golden: Golden) -> int:
    """Write graph and golden vectors into `folder`; gives the bytes of the graph."""
    folder.mkdir(exist_ok=True)
    content = model.SerializeToString(deterministic=True)
    (folder / "model.onnx").write_bytes(content)
    write_golden(folder, golden)
    return len(content)


def _tested(folder: Path) -> Mapping[str, Any] | None:
    """What the run's summary says of the test data; None where it was not looked at."""
    from nin_onnx.run import Run

    found: Mapping[str, Any] | None = Run(folder).summary().get("test") if (folder / "summary.json").exists() else None
    return found


def _check_known(kind: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raise `UnknownNameError` for the first of `given` that is none of `known`."""
    for name in given:
        if name not in known:
            raise UnknownNameError(kind, name, known)
