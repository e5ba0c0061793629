"""MNN on the CPU, from the graph that its own converter makes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.runtimes.backends.base import Runtime, RuntimeInfo, Unusable, need
from nin_onnx.runtimes.model import GraphInfo, ModelFile

__all__ = ["Mnn"]


class Mnn(Runtime):
    """One module, asked for high precision; it takes Winograd's algorithm for convolutions, and tells neither."""

    package = "mnn"

    @classmethod
    def check(cls) -> None:
        need("mnn", "runtimes", module="MNN")

    @classmethod
    def accepts(cls, model: ModelFile) -> None:
        if model.precision == "int8":
            raise Unusable("MNN's converter loses outputs of a quantized graph")

    def load(self, model: GraphInfo, threads: int) -> None:
        import _tools  # what the console command `mnnconvert` calls, which itself installs packages and reports to its makers
        from MNN import nn

        converted = Path("converted.mnn").absolute()
        options = ["-f", "ONNX", "--modelFile", str(model.path), "--MNNModel", str(converted), "--bizCode", "nin-onnx"]
        if not _tools.mnnconvert(["mnnconvert", *options]) or not converted.exists():
            raise RuntimeError("MNN's converter cannot read the model")
        self._outputs = model.outputs
        manager = nn.create_runtime_manager(({"backend": "CPU", "numThread": threads, "precision": "high"},))
        self._module = nn.load_module_from_file(str(converted), [model.input], list(self._outputs), runtime_manager=manager)

    def run(self, images: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        from MNN import expr

        kind = expr.uint8 if images.dtype == np.uint8 else expr.float
        given = expr.const(images, list(images.shape), expr.NCHW, kind)  # NCHW: the axes as they come
        outputs = self._module.forward([given])
        return {name: np.array(output.read()).reshape(output.shape) for name, output in zip(self._outputs, outputs, strict=True)}

    def facts(self) -> RuntimeInfo:
        import MNN

        return RuntimeInfo(package=self.package, version=MNN.version(), device="cpu", fast_convolution=True)
