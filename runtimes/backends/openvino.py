"""OpenVINO on its CPU plugin, asked for float32: unless told, it computes in bfloat16 where the processor can."""

import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

from numpy.typing import NDArray

from nin_onnx.runtimes.backends.base import Runtime, RuntimeInfo, Unusable, need
from nin_onnx.runtimes.model import GraphInfo

__all__ = ["OpenVino", "OpenVinoBf16"]

PRECISIONS = {"f32": "fp32", "bf16": "bf16"}
QUANTIZED = {"u8", "i8"}
"""What a layer computes in whose weights the graph has in 8 bits, whatever OpenVINO is asked for."""
NO_WORK = ("Const", "Input", "Output")


class OpenVino(Runtime):
    """One compiled model; its executed graph tells the precision of every convolution."""

    package = "openvino"
    precision: ClassVar[str] = "f32"

    @classmethod
    def check(cls) -> None:
        need("openvino", "runtimes")

    def load(self, model: GraphInfo, threads: int) -> None:
        # To import OpenVINO is to report to its makers, but for where this package is absent, which they provide for.
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
        import openvino

        options = {"INFERENCE_PRECISION_HINT": self.precision, "INFERENCE_NUM_THREADS": threads}
        self._compiled = openvino.Core().compile_model(str(model.path), "CPU", options)
        found = self.computed_in()
        self._quantized = bool(found & QUANTIZED)
        if not found or not found <= {self.precision} | QUANTIZED:  # what it was asked for is a hint, and may be passed over
            raise Unusable(
                f"asked for {self.precision}, OpenVINO computes in {' and '.join(sorted(found)) or 'no known precision'}"
            )

    def run(self, images: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        return {output.get_any_name(): array for output, array in self._compiled(images).items()}

    def facts(self) -> RuntimeInfo:
        import openvino

        devices = tuple(self._compiled.get_property("EXECUTION_DEVICES"))
        return RuntimeInfo(
            package=self.package,
            version=openvino.get_version().split("-")[0],
            device=", ".join(devices).lower(),
            precision="int8" if self._quantized else PRECISIONS[self.precision],  # as `load` made sure
            threads=self._compiled.get_property("INFERENCE_NUM_THREADS"),
            providers=devices,
            assignment={devices[0]: dict(sorted(Counter(kind for kind, _ in self._executed() if kind not in NO_WORK).items()))},
        )

    def computed_in(self) -> set[str]:
        """The precisions, in OpenVINO's words, of what has weights in the executed graph."""
        return {precision for kind, precision in self._executed() if kind in ("Convolution", "MatMul", "FullyConnected")}

    def _executed(self) -> list[tuple[str, str]]:
        """Kind and precision of each node of the executed graph."""
        nodes = [node.get_rt_info() for node in self._compiled.get_runtime_model().get_ordered_ops()]
        return [(str(node["layerType"].value), str(node["runtimePrecision"].value)) for node in nodes]


class OpenVinoBf16(OpenVino):
    """What OpenVINO does unless told otherwise where the processor has AMX or AVX512-BF16."""

    precision = "bf16"
