"""Variants of an exported graph: made of its fp32 form, checked, and judged by the decisions that they change."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from nin_onnx.card import Card, read_card, write_card
from nin_onnx.data import Dataset
from nin_onnx.errors import ExportError
from nin_onnx.evaluator import evaluator
from nin_onnx.export.calibration import calibration_data, logits, test_images
from nin_onnx.export.maker import VariantSource, maker_of
from nin_onnx.export.model_folder import Variant
from nin_onnx.export.passes.clear_metadata import clear_metadata
from nin_onnx.golden import Golden
from nin_onnx.machine import hardware, instructions, versions
from nin_onnx.precision import PRECISIONS, VARIANTS
from nin_onnx.statistics import Paired, paired
from nin_onnx.train.checkpoint import Checkpoint
from nin_onnx.train.network import TorchClassifier
from nin_onnx.variants import INPUTS, float_input, folder_name, planar

__all__ = ["VariantRequest", "make_variant", "make_variants", "with_float_input"]


@dataclass(frozen=True)
class VariantRequest:
    """Which variants of a run's graph are wanted, and what it takes to make them."""

    classifier: TorchClassifier
    checkpoint: Checkpoint
    precisions: Sequence[str]
    inputs: Sequence[str]
    data_dir: Path | None
    """Folder of the data sets; None: the default one."""


def make_variants(request: VariantRequest, model: onnx.ModelProto, golden: Golden, card: Card) -> dict[str, Variant]:
    """Return each variant of `model`, the exported graph, by the name of its folder; `model` itself is not among them."""
    first, *lower = VARIANTS
    made = {first: Variant(model, golden, card)} if first in request.precisions else {}
    if wanted := [precision for precision in lower if precision in request.precisions]:
        data = calibration_data(request.checkpoint, request.data_dir)
        source = VariantSource(model, request.classifier, card.preprocessing, data)
        tested = test_images(card.test, request.data_dir)
        made |= {precision: make_variant(precision, source, card, tested) for precision in wanted}
    found = {}
    for (precision, variant), form in product(made.items(), INPUTS):
        if form in request.inputs and (name := folder_name(precision, form)):
            found[name] = variant if form == INPUTS[0] else with_float_input(variant)
    return found


def make_variant(precision: str, source: VariantSource, card: Card, tested: Dataset | None = None) -> Variant:
    """Return the variant of `source`, whose card is `card`; raises `ExportError` if it makes too many errors.

    `tested`: the test images, which are looked at once all is chosen, for the card.
    """
    made = maker_of(precision)(source)
    comparison = paired(source.logits.argmax(1), made.logits.argmax(1), source.data.validation.labels)
    _check(precision, comparison)
    card = replace(
        card,
        precision=precision,
        source=_hash(source.model),
        calibration=made.calibration,
        comparison=_compared(source.model, made.model, tested) if tested else None,
        golden=made.golden.hash,
        exported_with={**card.exported_with, **versions(("onnxruntime",))},
    )
    model = onnx.shape_inference.infer_shapes(clear_metadata(made.model).model, strict_mode=True)
    write_card(model, card)
    onnx.checker.check_model(model, full_check=True)
    return Variant(model, made.golden, card, comparison)


def _check(precision: str, comparison: Paired) -> None:
    """Raise `ExportError` if a variant in `precision` makes more errors than it may."""
    most = int(PRECISIONS[precision].most_net_errors * comparison.images)
    if comparison.net > most:
        raise ExportError(
            f"'{precision}' makes {comparison.net} more errors than fp32 on validation images ({comparison}), "
            f"at most {most} are allowed: nothing is written; leave --variant {precision} out"
        )


def _compared(source: onnx.ModelProto, model: onnx.ModelProto, tested: Dataset) -> dict[str, Any]:
    """Return the errors and label changes of `model` against its `source` on the test images, and what ran both."""
    before, after = (logits(one, tested.images).argmax(1) for one in (source, model))
    found = paired(before, after, tested.labels)
    return {
        "errors": int(np.count_nonzero(after != tested.labels)),
        "net": found.net,
        "label_changes": found.changes,
        "images": found.images,
        "runtime": f"ONNX Runtime {metadata.version('onnxruntime')}",
        "processor": str(hardware()["processor"]),
        "instructions": list(instructions()),
    }


def with_float_input(variant: Variant) -> Variant:
    """Return `variant` with the other form of input; raises `ExportError` unless it gives the same answers bit for bit."""
    golden = Golden(planar(variant.golden.images), variant.golden.outputs)
    model = float_input(variant.model)
    card = read_card(model)
    assert card is not None
    card = replace(card, golden=golden.hash, source=variant.card.source or _hash(variant.model))
    write_card(model, card)
    onnx.checker.check_model(model, full_check=True)
    for name, one, other in zip(
        golden.outputs,
        evaluator(variant.model).run(None, {"images": variant.golden.images}),
        evaluator(model).run(None, {"images": golden.images}),
        strict=True,
    ):
        if not np.array_equal(one, other):
            raise ExportError(
                f"output '{name}' of the float32-input variant differs from the original graph: nothing is written; "
                "leave --input float32 out"
            )
    return Variant(model, golden, card, variant.comparison)


def _hash(model: onnx.ModelProto) -> str:
    """Return the SHA-256 of the file that `model` is written to."""
    return sha256(model.SerializeToString(deterministic=True)).hexdigest()
