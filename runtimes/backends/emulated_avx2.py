"""An x86 processor with AVX2 and without VNNI, emulated in NumPy: what products of 8-bit numbers come to there."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.eight_bits import bounds
from nin_onnx.runtimes.backends.base import Runtime, RuntimeInfo, Unusable
from nin_onnx.runtimes.model import GraphInfo, ModelFile

__all__ = ["MOVED", "EmulatedAvx2"]

MOVED = "moved: "
"""Before a layer's name: an output beside the graph's, a number for each batch, as `nin_onnx.eight_bits.Emulator.moved`."""


class EmulatedAvx2(Runtime):
    """Does the first 1,000 images of a data set unless told otherwise, at some ten a second."""

    package = "onnx"
    images = 1_000

    @classmethod
    def check(cls) -> None:
        """It is NumPy and `onnx`, which nin-onnx always brings."""

    @classmethod
    def accepts(cls, model: ModelFile) -> None:
        if not model.quantized or not bounds(model.with_weights()):
            raise Unusable("the graph multiplies no 8-bit numbers, so there is nothing to emulate")

    def load(self, model: GraphInfo, threads: int) -> None:
        del threads  # NumPy's linear algebra takes its own
        import onnx

        from nin_onnx.eight_bits.emulation import Emulator

        self._model = model
        self._input = model.input
        self._emulator = Emulator(onnx.load(model.path))

    def run(self, images: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        outputs = self._emulator.run({self._input: images})
        return outputs | {f"{MOVED}{layer}": np.array([by]) for layer, by in self._emulator.moved.items()}

    def facts(self) -> RuntimeInfo:
        import onnx

        return RuntimeInfo(
            package=self.package, version=onnx.__version__, device="AVX2, emulated", precision=self._model.precision
        )
