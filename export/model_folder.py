"""Writes a model folder: the graph, the weights that it was made from, and its golden vectors.

README.md            its card, for readers
model.onnx           the classifier, raw pixels in, with its card
model.safetensors    the same in PyTorch
test_data_set_0/     golden vectors
zoo/, triton/, …     bundles that were asked for
fp16/, int8/, …      variants, each a folder of a graph and of golden vectors of its own
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from nin_onnx import atomic
from nin_onnx.card import Card
from nin_onnx.export import model_card
from nin_onnx.export.bundles import write_bundles
from nin_onnx.export.overwrite import check_overwrite
from nin_onnx.golden import Golden, write_golden
from nin_onnx.statistics import Paired

__all__ = ["Variant", "VariantExport", "write_model_folder"]


@dataclass(frozen=True, eq=False)
class Variant:
    """A graph, the answers that it must give on every runtime, and how its decisions compare with its source's."""

    model: onnx.ModelProto
    golden: Golden
    card: Card
    comparison: Paired | None = None
    """On validation images; None for what is in the precision of its source."""


@dataclass(frozen=True)
class VariantExport:
    """A variant that was written."""

    model: Path
    size: int
    """Bytes of `model`."""
    card: Card
    comparison: Paired | None
    """Its decisions beside those of the fp32 graph, on validation images; None if the precision is the same."""


def write_model_folder(
    target: Path, exported: Variant, variants: Mapping[str, Variant], bundles: Sequence[str], weights: Path | None
) -> tuple[VariantExport, ...]:
    """Write `exported` and each of `variants`, by the name of its folder, and return them in that order.

    `weights` is copied. The folder is moved to `target` when all of it is written; raises `RunError` if something else than an
    earlier export is there by then.
    """
    with atomic.whole_folder(target) as staging:
        written = [_write(staging, target, exported)]
        cards = {name: one.card for name, one in variants.items()}
        read_me = model_card.render(exported.card, "class_maps" in exported.golden.outputs, cards)
        (staging / "README.md").write_text(read_me, encoding="utf-8")
        if weights:
            shutil.copyfile(weights, staging / "model.safetensors")
        written += [_write(staging / name, target / name, one) for name, one in variants.items()]
        write_bundles(staging, exported.card.name, bundles)
        check_overwrite(target)  # what was put there meanwhile is not lost
    return tuple(written)


def _write(folder: Path, target: Path, variant: Variant) -> VariantExport:
    """Write graph and golden vectors into `folder`, which will be `target`."""
    folder.mkdir(exist_ok=True)
    content = variant.model.SerializeToString(deterministic=True)
    (folder / "model.onnx").write_bytes(content)
    write_golden(folder, variant.golden)
    return VariantExport(target / "model.onnx", len(content), variant.card, variant.comparison)
