"""ONNX's reference evaluator: every operator as the specification words it, in NumPy; right rather than fast."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from nin_onnx.evaluator import evaluator
from nin_onnx.runtimes.backends.base import Runtime, RuntimeInfo
from nin_onnx.runtimes.model import GraphInfo

__all__ = ["Reference"]


class Reference(Runtime):
    """Does the first 1,000 images of a data set unless told otherwise, at about ten a second."""

    package = "onnx"
    images = 1_000

    @classmethod
    def check(cls) -> None:
        """It is part of `onnx`, which nin-onnx always brings."""

    def load(self, model: GraphInfo, threads: int) -> None:
        del threads  # NumPy's linear algebra takes its own
        import onnx

        self._model = model
        self._input = model.input
        self._evaluator = evaluator(onnx.load(model.path))

    def run(self, images: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        names = self._evaluator.output_names
        return dict(zip(names, self._evaluator.run(None, {self._input: images}), strict=True))

    def facts(self) -> RuntimeInfo:
        import onnx

        return RuntimeInfo(package=self.package, version=onnx.__version__, device="cpu", precision=self._model.precision)
