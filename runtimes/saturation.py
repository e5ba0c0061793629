"""Two findings on a graph in 8 bits, kept apart: that it could saturate for some activations, and that it does on given inputs.

The first is a bound, which nearly every model with weights of 8 bits in a scale for each channel exceeds. The second is an
emulation of the processors on which it happens: x86 without VNNI.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nin_onnx.eight_bits import HIGHEST, Bound, bounds
from nin_onnx.errors import ModelError
from nin_onnx.golden import read_golden
from nin_onnx.runtimes.asking import Conditions, ask
from nin_onnx.runtimes.emulated import MOVED
from nin_onnx.runtimes.job import Answer, Feed
from nin_onnx.runtimes.model import ModelFile
from nin_onnx.runtimes.references import inputs, stored

__all__ = ["Moved", "Saturation", "saturation", "saturation_alone"]

EMULATOR = "emulated-avx2"
PATIENCE = Conditions(limit=None, threads=1, time_limit=60.0, interpreters={})


@dataclass(frozen=True)
class Moved:
    """A layer that saturates on the inputs that were tried."""

    layer: str
    by: float
    """How far its furthest output moves, over its largest one."""


@dataclass(frozen=True)
class Saturation:
    """What is known of a graph that multiplies 8-bit numbers."""

    layers: int
    """How many of its layers do."""
    could: tuple[Bound, ...]
    """Those for which there are activations that take a sum of two products beyond 16 bits."""
    moved: tuple[Moved, ...] = ()
    """Those that saturate on the inputs that were tried, in the order of the graph."""
    images: int = 0
    """How many inputs were tried."""
    problem: str | None = None
    """Why none were."""

    @property
    def bound(self) -> str:
        """The first finding in words."""
        if not self.could:
            return f"cannot saturate: sums of two products stay within 16 bits in {_layers(self.layers)}, whatever the inputs"
        furthest = max(self.could, key=lambda one: max(one.highest, -one.lowest))
        return (
            f"could saturate on x86 without VNNI: {len(self.could)} of {_layers(self.layers)}, the furthest {furthest}, "
            f"where 16 bits hold {HIGHEST:,}"
        )

    @property
    def emulation(self) -> str | None:
        """The second finding in words; None if the first rules it out."""
        if not self.could:
            return None
        if self.problem:
            return f"whether it saturates was not tried: {self.problem}"
        these = f"on these {self.images} inputs" if self.images != 1 else "on this input"
        if not self.moved:
            return f"does not saturate {these}, in an emulation of x86 without VNNI"
        worst = max(self.moved, key=lambda one: one.by)
        others = f", and at {len(self.moved) - 1} more" if len(self.moved) > 1 else ""
        return f"saturates {these} at layer '{worst.layer}', by {worst.by:.1e} of its largest output{others} (emulated)"

    def lines(self) -> tuple[str, ...]:
        """Return what is known, a sentence each."""
        return (self.bound, *([self.emulation] if self.emulation else []))


def saturation(model: ModelFile, run: Callable[[tuple[str, ...]], Answer]) -> Saturation | None:
    """Return what is known of `model`, or None if it multiplies no 8-bit numbers.

    `run` is asked, if the bound leaves it open, to run the emulator on some inputs and to bring back the named outputs.
    """
    import onnx

    found = bounds(onnx.load(model.path))
    could = tuple(one for one in found if one.could_saturate)
    if not could:
        return Saturation(len(found), could) if found else None
    try:
        answer = run(tuple(f"{MOVED}{one.layer}" for one in could))
    except ModelError as error:
        return Saturation(len(found), could, problem=str(error))
    if answer.outcome != "done":
        return Saturation(len(found), could, problem=answer.reason or answer.outcome)
    outputs = answer.feeds["golden"]
    images = sum(size for size, _ in outputs.batches)
    moves = {name.removeprefix(MOVED): float(np.nanmax(array)) for name, array in outputs.arrays.items()}
    unknown = next((one.layer for one in could if one.layer not in moves), None)
    moved = tuple(Moved(layer, by) for layer, by in moves.items() if by > 0)
    problem = f"the layer '{unknown}' is of a kind that is not emulated" if unknown and not moved else None
    return Saturation(len(found), could, moved, images, problem)


def saturation_alone(model: ModelFile) -> Saturation | None:
    """Return what is known of `model`, tried on the golden vectors beside it or on made inputs, for 60 s at most."""
    with tempfile.TemporaryDirectory(prefix="nin-onnx-") as temporary:
        folder = Path(temporary)

        def run(outputs: tuple[str, ...]) -> Answer:
            golden = stored(model) if model.foreign else read_golden(model.path.parent)
            images = golden.images if golden else inputs(model)
            np.save(folder / "golden.npy", images, allow_pickle=False)
            feed = Feed(str(folder / "golden.npy"), len(images), model.fixed_batch or len(images), outputs)
            return ask(EMULATOR, model, {"golden": feed}, folder / EMULATOR, PATIENCE)

        return saturation(model, run)


def _layers(count: int) -> str:
    return f"{count} layer{'s' * (count != 1)}"
