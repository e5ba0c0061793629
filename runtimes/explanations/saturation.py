"""Finds out of a graph in 8 bits that it could saturate for some activations, and, apart from that, that it does on given inputs.

The first is a bound, which nearly every model with weights of 8 bits in a scale for each channel exceeds. The second is an
emulation of the processors on which it happens: x86 without VNNI.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from nin_onnx.eight_bits import bounds
from nin_onnx.eight_bits.findings import SaturatedLayer, Saturation
from nin_onnx.eight_bits.products import not_judged
from nin_onnx.errors import ModelError
from nin_onnx.golden import read_golden
from nin_onnx.runtimes.backends.emulated_avx2 import MOVED
from nin_onnx.runtimes.model import ModelFile
from nin_onnx.runtimes.options import EvalOptions
from nin_onnx.runtimes.references import EXACT, inputs, stored
from nin_onnx.runtimes.rows import Row
from nin_onnx.runtimes.workers.job import Feed, Result
from nin_onnx.runtimes.workers.run import run_runtime

__all__ = ["EMULATOR", "explained", "saturation", "saturation_alone"]

EMULATOR = "emulated-avx2"
PATIENCE = EvalOptions(threads=1, time_limit=60.0)


def saturation(model: ModelFile, run: Callable[[tuple[str, ...]], Result]) -> Saturation | None:
    """Return what is known of `model`, or None if it multiplies no 8-bit numbers.

    `run` is asked, if the bound leaves it open, to run the emulator on some inputs and to bring back the named outputs.
    """
    if not model.quantized:
        return None
    graph = model.with_weights()
    found, hidden = bounds(graph), not_judged(graph)
    if not found and not hidden:
        return None
    could = tuple(one for one in found if one.could_saturate)
    known = Saturation(len(found), could, not_judged=hidden)
    if not could:
        return known
    try:
        result = run(tuple(f"{MOVED}{one.layer}" for one in could))
    except ModelError as error:
        return replace(known, problem=str(error))
    if result.outcome != "done":
        return replace(known, problem=result.reason or result.outcome)
    outputs = result.feeds["golden"]
    images = sum(size for size, _ in outputs.batches)
    moves = {name.removeprefix(MOVED): float(np.nanmax(array)) for name, array in outputs.arrays.items()}
    saturates = tuple(SaturatedLayer(layer, by) for layer, by in moves.items() if by > 0)
    not_emulated = tuple(one.layer for one in could if one.layer not in moves)
    return replace(known, saturates=saturates, images=images, not_emulated=not_emulated)


def saturation_alone(model: ModelFile) -> Saturation | None:
    """Return what is known of `model`, tried on the golden vectors beside it or on made inputs, for 60 s at most."""
    with tempfile.TemporaryDirectory(prefix="nin-onnx-") as temporary:
        folder = Path(temporary)

        def run(outputs: tuple[str, ...]) -> Result:
            golden = stored(model) if model.foreign else read_golden(model.path.parent)
            images = golden.images if golden else inputs(model)
            np.save(folder / "golden.npy", images, allow_pickle=False)
            feed = Feed(str(folder / "golden.npy"), len(images), model.fixed_batch or len(images), outputs)
            return run_runtime(EMULATOR, model, {"golden": feed}, folder / EMULATOR, PATIENCE)

        return saturation(model, run)


def explained(row: Row, saturation: Saturation | None) -> Row:
    """Return `row` with the likely reason, if its outputs are wrong and it multiplied 8-bit numbers where they saturate."""
    instructions = (row.facts and row.facts.instructions) or ()
    vulnerable = "AVX2" in instructions and not {"VNNI", "AVX-VNNI"} & {*instructions}
    native = row.facts is not None and row.facts.precision == "int8" and row.runtime != EXACT
    wrong = row.outcome == "fail" and row.parity is not None and row.parity.problem is not None
    if not (vulnerable and native and wrong and saturation and saturation.saturates):
        return row
    return row.failed(f"likely saturation: this processor has no VNNI, and the model {saturation.emulation}")
