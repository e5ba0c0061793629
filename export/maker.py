"""What makes the variant of an exported graph in another precision: one function for each, in a file of its own.

`nin_onnx.precision` names them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, cast

import numpy as np
import onnx
from numpy.typing import NDArray

from nin_onnx.export.calibration import CalibrationData, logits
from nin_onnx.golden import Golden
from nin_onnx.precision import PRECISIONS
from nin_onnx.train.network import TorchClassifier

__all__ = ["Made", "Maker", "VariantSource", "maker_of"]


@dataclass(frozen=True, eq=False)
class VariantSource:
    """What a variant is made of."""

    model: onnx.ModelProto
    """The exported graph."""
    classifier: TorchClassifier
    """The network that was exported."""
    preprocessing: tuple[str, ...]
    """Names of the steps, which stay in float32."""
    data: CalibrationData

    @cached_property
    def logits(self) -> NDArray[np.float32]:
        """What the exported graph gives for the validation images: [N, classes]."""
        return logits(self.model, self.data.validation.images)


@dataclass(frozen=True, eq=False)
class Made:
    """The graph in another precision."""

    model: onnx.ModelProto
    logits: NDArray[np.float32]
    """What it gives for the validation images: [N, classes]."""
    golden: Golden
    """The answers that it must give on every runtime."""
    calibration: Mapping[str, Any] | None = None
    """How its ranges were found, for the card."""


Maker = Callable[[VariantSource], Made]
"""Leaves its source as it is; raises `ExportError` if the graph cannot be made in this precision."""


def maker_of(precision: str) -> Maker:
    """Return what makes variants in `precision`, one of `nin_onnx.precision.VARIANTS`."""
    place = PRECISIONS[precision].maker
    assert place is not None
    module, name = place.split(":")
    return cast(Maker, getattr(import_module(module), name))
