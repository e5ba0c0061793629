"""The precisions that a graph or a runtime may compute in: one table of all that is particular to each."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["FAST_CONVOLUTION", "FP32", "PRECISIONS", "VARIANTS", "Precision", "coarsest", "judged_as"]


@dataclass(frozen=True)
class Precision:
    """What is particular to a precision."""

    name: str
    tolerance: float
    """Largest difference of an output, in units of the largest absolute value that it has in the whole golden set."""
    weights: tuple[str, ...] = ()
    """Types of weights (`onnx.TensorProto.DataType`) that make a graph one of this precision."""
    places: float = 1.0
    """Unit of outputs with places in the image, as class maps have them, over their largest value."""
    maker: str | None = None
    """`module:function` of a `nin_onnx.export.maker.Maker`, which makes the variant of an exported graph; None: there is none."""
    most_net_errors: float = 0.0
    """Share of the validation images on which the variant may be wrong and its source right, net."""


FP32 = Precision("fp32", 1e-5, weights=("FLOAT",))
"""What every export is in, and what is assumed of a runtime that does not report its precision: the strictest."""

PRECISIONS: Mapping[str, Precision] = MappingProxyType(
    {
        one.name: one
        for one in (
            FP32,
            Precision("tf32", 2e-3),
            Precision("fp16", 5e-3, weights=("FLOAT16",), maker="nin_onnx.export.fp16:fp16", most_net_errors=0.001),
            Precision("bf16", 2e-2, weights=("BFLOAT16",)),
            # Exact, except if a sum that is rounded differently falls on the other side of a step. In the models that ship this
            # moves the logits, which are means over the places, by up to 2e-3, and class maps by up to 1.3e-2: hence `places`. A
            # zero point that is wrong by 1, in any one place, moves the logits by 9.6e-3 or more.
            Precision(
                "int8", 8e-3, weights=("INT8", "UINT8"), places=4.0, maker="nin_onnx.export.int8:int8", most_net_errors=0.01
            ),
        )
    }
)
"""By name, from the finest to the coarsest type."""

VARIANTS = tuple(name for name, one in PRECISIONS.items() if one is FP32 or one.maker)
"""The precisions that `nin-onnx export` writes; it makes the others of the first."""

FAST_CONVOLUTION = 1e-4
"""Tolerance of a runtime in fp32 whose convolutions trade digits for speed, as Winograd's algorithm does."""


def judged_as(name: str | None) -> Precision:
    """Return the precision of that name; fp32, the strictest, if it is unknown."""
    return PRECISIONS.get(name or FP32.name, FP32)


def coarsest(types: Collection[str]) -> str | None:
    """Return the coarsest precision that has weights of one of `types` (`onnx.TensorProto.DataType`); None if none has."""
    found = [name for name, one in PRECISIONS.items() if not set(one.weights).isdisjoint(types)]
    return found[-1] if found else None
