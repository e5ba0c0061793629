"""The precisions that a graph or a runtime may compute in: one table of all that is particular to each."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["FAST_CONVOLUTION", "FP32", "PRECISIONS", "VARIANTS", "Precision"]


@dataclass(frozen=True)
class Precision:
    """What is particular to a precision."""

    name: str
    tolerance: float
    """Largest difference of an output, in units of the largest absolute value that it has in the whole golden set."""
    weights: tuple[str, ...] = ()
    """Types of weights (`onnx.TensorProto.DataType`) that make a graph one of this precision; the last in the table counts."""
    places: float = 1.0
    """Unit of outputs with places in the image, as class maps have them, over their largest value."""
    maker: str | None = None
    """`module:function` that makes the variant of an exported graph, as `nin_onnx.export.variant.Maker`; None: there is none."""
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
            # Exact but for where a sum, rounded otherwise, falls on the other side of a step. In the models that ship this moves
            # the logits by up to 2e-3, and class maps, which are not averaged, by up to 1.3e-2: hence `places`. A zero point
            # that is wrong by 1, in any one place, moves the logits by 9.6e-3 or more.
            Precision(
                "int8", 8e-3, weights=("INT8", "UINT8"), places=4.0, maker="nin_onnx.export.int8:int8", most_net_errors=0.01
            ),
        )
    }
)
"""By name, from the finest to the coarsest."""

VARIANTS = tuple(name for name, one in PRECISIONS.items() if one is FP32 or one.maker)
"""The precisions that `nin-onnx export` writes; it makes the others of the first."""

FAST_CONVOLUTION = 1e-4
"""Tolerance of a runtime in fp32 whose convolutions trade digits for speed, as Winograd's algorithm does."""
