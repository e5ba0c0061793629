"""The findings on a graph that multiplies 8-bit numbers: that it could saturate, and that it does on given inputs."""

from dataclasses import dataclass

from nin_onnx.eight_bits.bound import HIGHEST, LOWEST, Bound, furthest

__all__ = ["SaturatedLayer", "Saturation"]


@dataclass(frozen=True)
class SaturatedLayer:
    """A layer that saturates on the inputs that were tried."""

    layer: str
    by: float
    """How far its furthest output moves, over its largest one."""


@dataclass(frozen=True)
class Saturation:
    """Both findings on one graph."""

    layers: int
    """How many of its layers multiply 8-bit numbers."""
    could_saturate: tuple[Bound, ...]
    """Those for which there are activations that take a sum of two products beyond 16 bits."""
    saturates: tuple[SaturatedLayer, ...] = ()
    """Those that saturate on the inputs that were tried, in the order of the graph."""
    images: int = 0
    """How many inputs were tried."""
    not_emulated: tuple[str, ...] = ()
    """Those that could saturate and are of a kind that the emulation does not know."""
    not_judged: int = 0
    """Nodes in subgraphs and functions that may multiply 8-bit numbers."""
    problem: str | None = None
    """Why no inputs were tried."""

    @property
    def bound(self) -> str:
        """Return the first finding in words."""
        layers = f"{self.layers} layer{'s' * (self.layers != 1)}"
        if not self.layers:
            found = "no layer judged"
        elif not self.could_saturate:
            found = f"cannot saturate: sums of two products stay within 16 bits in {layers}, whatever the inputs"
        else:
            layer = furthest(self.could_saturate)
            found = (
                f"could saturate on x86 without VNNI: {len(self.could_saturate)} of {layers}; the furthest is {layer} "
                f"(16 bits hold {LOWEST:,} to {HIGHEST:,})"
            )
        if self.not_judged:
            found += f"; {self.not_judged} node{'s' * (self.not_judged != 1)} in subgraphs or functions not judged"
        return found

    @property
    def emulation(self) -> str | None:
        """Return the second finding in words; None if the first rules it out."""
        if not self.could_saturate:
            return None
        if self.problem:
            return f"saturation was not tested on inputs: {self.problem}"
        others = "; not emulated: " + ", ".join(f"'{layer}'" for layer in self.not_emulated) if self.not_emulated else ""
        if len(self.not_emulated) == len(self.could_saturate):
            return f"saturation was not tested on inputs{others}"
        these = f"on the {self.images} golden images" if self.images != 1 else "on the golden image"
        if not self.saturates:
            return f"does not saturate {these}, in an emulation of x86 without VNNI{others}"
        worst = max(self.saturates, key=lambda one: one.by)
        more = f", and at {len(self.saturates) - 1} more" if len(self.saturates) > 1 else ""
        return f"saturates {these} at layer '{worst.layer}', by {worst.by:.1e} of its largest output{more} (emulated){others}"

    def lines(self) -> tuple[str, ...]:
        """Return the findings, a sentence each."""
        return (self.bound, *([self.emulation] if self.emulation else []))
