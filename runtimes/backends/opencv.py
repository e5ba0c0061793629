"""OpenCV's DNN module on the CPU, with the engine that it takes unless told otherwise."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from nin_onnx.runtimes.backends.base import Runtime, RuntimeInfo, need
from nin_onnx.runtimes.model import GraphInfo

__all__ = ["OpenCv"]


class OpenCv(Runtime):
    """One network; it tells its version and its threads, and not what it computes in."""

    package = "opencv-python-headless"
    module = "cv2"

    @classmethod
    def check(cls) -> None:
        need("opencv-python-headless", "runtimes", cls.module)

    def load(self, model: GraphInfo, threads: int) -> None:
        import cv2

        cv2.setNumThreads(threads)
        self._network = cv2.dnn.readNetFromONNX(str(model.path))
        self._network.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
        self._outputs = self._network.getUnconnectedOutLayersNames()

    def run(self, images: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        self._network.setInput(images)
        return dict(zip(self._outputs, self._network.forward(self._outputs), strict=True))

    def facts(self) -> RuntimeInfo:
        import cv2

        return RuntimeInfo(package=self.distribution(), version=cv2.__version__, device="cpu", threads=cv2.getNumThreads())
