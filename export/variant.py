"""Variants of an exported graph: made of its fp32 form, checked, and judged by the decisions that they change."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib import metadata
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx

from nin_onnx.card import Card, read_card, write_card
from nin_onnx.data import Dataset
from nin_onnx.errors import ExportError
from nin_onnx.evaluator import evaluator
from nin_onnx.export.calibration import Material, logits, material, test_images
from nin_onnx.export.fp16 import half
from nin_onnx.export.passes.clear_metadata import strip
from nin_onnx.export.quantize import METHODS, quantize
from nin_onnx.export.to_onnx import golden_vectors
from nin_onnx.golden import Golden
from nin_onnx.machine import hardware, instructions, versions
from nin_onnx.statistics import Paired, paired
from nin_onnx.train.checkpoint import Checkpoint
from nin_onnx.train.network import TorchClassifier
from nin_onnx.variants import INPUTS, PRECISIONS, float_input, folder_name, planar

__all__ = ["Variant", "make_variant", "make_variants", "with_float_input"]

MOST: Mapping[str, float] = MappingProxyType({"fp16": 0.001, "int8": 0.01})
"""The share of the validation images on which a variant may be wrong and its source right, net."""
HALF_TOLERANCE = 5e-3
"""Largest difference of an fp16 graph from PyTorch's answers, over the output's largest value."""


@dataclass(frozen=True, eq=False)
class Variant:
    """A graph, the answers that it must give on every runtime, and how its decisions compare with its source's."""

    model: onnx.ModelProto
    golden: Golden
    card: Card
    comparison: Paired | None
    """On validation images; None for the source itself."""


def make_variants(
    classifier: TorchClassifier,
    checkpoint: Checkpoint,
    precisions: Sequence[str],
    inputs: Sequence[str],
    data_dir: Path | None,
    model: onnx.ModelProto,
    golden: Golden,
    card: Card,
) -> dict[str, Variant]:
    """Each variant of `model`, by the name of its folder; the exported graph itself is none."""
    others = [precision for precision in PRECISIONS[1:] if precision in precisions]
    images = material(checkpoint, data_dir) if others else None
    tested = test_images(card.test, data_dir) if others else None
    made = {PRECISIONS[0]: Variant(model, golden, card, None)} if PRECISIONS[0] in precisions else {}
    if images is not None:
        made |= {precision: make_variant(precision, model, classifier, images, tested) for precision in others}
    found = {}
    for (precision, variant), form in product(made.items(), INPUTS):
        if form in inputs and (name := folder_name(precision, form)):
            found[name] = variant if form == INPUTS[0] else with_float_input(variant)
    return found


def make_variant(
    precision: str, source: onnx.ModelProto, classifier: TorchClassifier, images: Material, tested: Dataset | None = None
) -> Variant:
    """The variant of `source`, the exported graph of `classifier`; raises `ExportError` where it is not as good.

    `tested`: the test images, which are looked at once all is chosen, for the card.
    """
    card = read_card(source)
    assert card is not None
    validation = images.validation
    before = logits(source, validation.images)
    calibration = None
    if precision == "fp16":
        model = half(source, card.preprocessing)
        after = logits(model, validation.images)
    else:
        made = {method: quantize(source, card.preprocessing, images.calibration, method) for method in METHODS}
        tried = {method: logits(one, validation.images) for method, one in made.items()}
        changes = {method: int(np.count_nonzero(one.argmax(1) != before.argmax(1))) for method, one in tried.items()}
        chosen = min(METHODS, key=lambda method: (changes[method], float(np.square(tried[method] - before).mean())))
        model, after = made[chosen], tried[chosen]
        calibration = {"method": chosen, "label_changes": changes, **images.describe()}
    comparison = paired(before.argmax(1), after.argmax(1), validation.labels)
    most = int(MOST[precision] * len(validation))
    if comparison.net > most:
        raise ExportError(
            f"'{precision}' makes {comparison.net} more errors than fp32 on validation images ({comparison}), "
            f"at most {most} are allowed: nothing is written; leave --variant {precision} out"
        )
    golden = _golden(precision, model, classifier)
    card = replace(
        card,
        precision=precision,
        source=sha256(source.SerializeToString(deterministic=True)).hexdigest(),
        calibration=calibration,
        comparison=_compared(source, model, tested) if tested else None,
        golden=golden.hash,
        exported_with={**card.exported_with, **versions(("onnxruntime",))},
    )
    model = onnx.shape_inference.infer_shapes(strip(model, golden), strict_mode=True)
    write_card(model, card)
    onnx.checker.check_model(model, full_check=True)
    return Variant(model, golden, card, comparison)


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
    """`variant` with the other form of input; raises `ExportError` where it does not give the same answers bit for bit."""
    golden = Golden(planar(variant.golden.images), variant.golden.outputs)
    model = float_input(variant.model)
    source = variant.card.source or sha256(variant.model.SerializeToString(deterministic=True)).hexdigest()
    card = read_card(model)
    assert card is not None
    card = replace(card, golden=golden.hash, source=source)
    write_card(model, card)
    onnx.checker.check_model(model, full_check=True)
    for name, one, other in zip(
        golden.outputs,
        evaluator(variant.model).run(None, {"images": variant.golden.images}),
        evaluator(model).run(None, {"images": golden.images}),
        strict=True,
    ):
        if not np.array_equal(one, other):
            raise ExportError(f"with float32 input '{name}' is another: nothing is written; leave --input float32 out")
    return Variant(model, golden, card, variant.comparison)


def _golden(precision: str, model: onnx.ModelProto, classifier: TorchClassifier) -> Golden:
    """The answers that every runtime must give for a variant.

    fp16: PyTorch's in float64, with the network's weights rounded as the graph has them; the graph must be near them. int8:
    the reference evaluator's on the graph, since PyTorch knows nothing of its ranges.
    """
    rounded = copy.deepcopy(classifier)
    if precision == "fp16":
        rounded.network.half().float()
    golden = golden_vectors(rounded)
    found = dict(zip(golden.outputs, evaluator(model).run(None, {"images": golden.images}), strict=True))
    if precision == "int8":
        return Golden(golden.images, found)
    for name, expected in golden.outputs.items():
        difference = float(np.abs(found[name].astype(np.float64) - expected).max()) / golden.scale(name)
        if not difference <= HALF_TOLERANCE:  # NaN fails too
            raise ExportError(
                f"the fp16 graph's '{name}' differs from PyTorch's by {difference:.1e} of its largest value, at most "
                f"{HALF_TOLERANCE:g} is allowed: nothing is written; leave --variant fp16 out"
            )
    return golden
