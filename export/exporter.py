"""A run becomes a model folder: the graph, the weights it was made from, and its golden vectors.

README.md            its card, for readers
model.onnx           the classifier, raw pixels in, with its card
model.safetensors    the same in PyTorch
test_data_set_0/     golden vectors
zoo/, triton/        bundles, where they were asked for
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nin_onnx import atomic, model_card
from nin_onnx.card import Card, write_card
from nin_onnx.errors import RunError, require
from nin_onnx.export.bundles import BUNDLES, check_bundles, write_bundles
from nin_onnx.export.passes import PASSES, Pass, PassResult, run
from nin_onnx.golden import FOLDER, write_golden
from nin_onnx.machine import versions

__all__ = ["Export", "export_run"]

WRITTEN = {"README.md", "model.onnx", "model.safetensors", FOLDER, *BUNDLES}  # an export replaces a folder of these, and no other


@dataclass(frozen=True)
class Export:
    """What an export made."""

    model: Path
    size: int
    """Bytes of `model`."""
    card: Card
    passes: tuple[PassResult, ...]


def export_run(
    folder: Path,
    out: Path | None = None,
    passes: tuple[Pass, ...] = PASSES,
    licence: str | None = None,
    bundles: Sequence[str] = (),
) -> Export:
    """Export the trained classifier of the run `folder` into the model folder `out`, by default `folder`/model.

    `licence` is that of the weights, as SPDX writes it. `bundles`: other layouts to write as well, keys of
    `nin_onnx.export.bundles.BUNDLES`.
    The model folder is moved to its place when every check has passed, instead of an earlier one; otherwise nothing is
    written. Raises `RunError` for a folder without checkpoint or an `out` that is something else, `ExportError` where a
    check fails.
    """
    require("export", "train", "torch", "safetensors", "onnxscript", "onnxsim")
    from nin_onnx.export.to_onnx import golden_vectors, module_values, to_onnx
    from nin_onnx.train.checkpoint import load_classifier, sha256
    from nin_onnx.train.run import Run

    source = Run(folder).trained()
    target = out or folder / "model"
    check_bundles(bundles)
    _check_replaceable(target)
    classifier, checkpoint = load_classifier(source)
    recipe = checkpoint.recipe
    table = classifier.network.architecture
    golden = golden_vectors(classifier)
    model, results = run(to_onnx(classifier), golden, passes, partial(module_values, classifier))
    channels, height, width = table.input
    card = Card(
        name=table.name,
        architecture=table.name,
        labels=checkpoint.labels,
        input="uint8 [batch, height, width, channels]",
        height=height,
        width=width,
        channels=channels,
        preprocessing=recipe.preprocessing,
        recipe=recipe.name,
        seed=checkpoint.seed,
        fit=recipe.folder.fit if recipe.folder else "stretch",
        licence=licence,
        test=_tested(folder),
        experiment=recipe.experiment,
        dataset=checkpoint.dataset,
        golden=golden.hash,
        weights=sha256(source),
        trained_with=checkpoint.versions,
        exported_with=versions(("torch", "onnx", "onnxscript", "onnxsim")),
    )
    model.graph.name = table.name
    write_card(model, card)
    content = model.SerializeToString(deterministic=True)
    with atomic.whole_folder(target) as staging:
        (staging / "model.onnx").write_bytes(content)
        (staging / "README.md").write_text(model_card.render(card, table.class_maps), encoding="utf-8")
        shutil.copyfile(source, staging / "model.safetensors")
        write_golden(staging, golden)
        write_bundles(staging, card.name, bundles)
    return Export(target / "model.onnx", len(content), card, tuple(results))


def _tested(folder: Path) -> Mapping[str, Any] | None:
    """What the run's summary says of the test data; None where it was not looked at."""
    from nin_onnx.train.run import Run

    found: Mapping[str, Any] | None = Run(folder).summary().get("test") if (folder / "summary.json").exists() else None
    return found


def _check_replaceable(target: Path) -> None:
    """Raise `RunError` unless `target` is absent, an empty folder, or an earlier export and nothing else."""
    if target.is_dir():
        found = {path.name for path in target.iterdir()}
        replaceable = not found or {"model.onnx", "model.safetensors"} <= found <= WRITTEN
    else:
        replaceable = not target.exists()
    if not replaceable:
        raise RunError(f"'{target}' is not only an earlier export, so it is not replaced: choose another --out")
