"""ONNX Runtime on its CUDA provider, in float32 without TF32; it has run only where the session proves it.

Asked for CUDA where a library is missing, ONNX Runtime makes the session all the same and runs on the CPU without an error.
"""

import ctypes
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from nin_onnx.runtimes.backends.base import RuntimeInfo, Unusable
from nin_onnx.runtimes.backends.onnxruntime_cpu import OnnxRuntime, clash, packages
from nin_onnx.runtimes.model import GraphInfo

__all__ = ["OnnxRuntimeCuda"]

CUDA = "CUDAExecutionProvider"
INSTALL = "pip install 'nin-onnx[gpu]'"


class OnnxRuntimeCuda(OnnxRuntime):
    """A session whose every convolution is on CUDA."""

    package = "onnxruntime-gpu"
    provider = CUDA
    options = {"use_tf32": "0"}  # noqa: RUF012 - as in the class above

    @classmethod
    def check(cls) -> None:
        if not has_gpu():
            raise Unusable("no NVIDIA GPU on this machine")
        found = packages()
        if "onnxruntime-gpu" not in found:
            install = f"pip uninstall --yes {' '.join(found)} && {INSTALL}" if found else INSTALL
            raise Unusable("the package 'onnxruntime-gpu' is not installed", install)
        if several := clash(found, "gpu"):
            raise Unusable(*several)

    def load(self, model: GraphInfo, threads: int) -> None:
        import onnxruntime

        if hasattr(onnxruntime, "preload_dlls"):  # finds the CUDA and cuDNN that pip installed
            onnxruntime.preload_dlls()
        super().load(model, threads)
        missing = missing_proof(self._session.get_providers(), self.assignment())
        if missing is not None:
            raise Unusable(missing, INSTALL)

    def facts(self) -> RuntimeInfo:
        told = self._session.get_provider_options()[CUDA]
        facts = super().facts()
        precision = {"0": facts.precision, "1": "tf32"}.get(told.get("use_tf32", ""))
        return replace(facts, device=f"cuda:{told.get('device_id', '?')}", precision=precision)


def missing_proof(providers: Sequence[str], assignment: Mapping[str, Mapping[str, int]] | None) -> str | None:
    """What is missing in a session's own words to say that the model ran on CUDA; None where nothing is."""
    if CUDA not in providers:
        return f"ONNX Runtime fell back to {', '.join(providers)}: its CUDA or cuDNN libraries are missing or do not fit"
    if assignment is None:
        return "this ONNX Runtime does not tell which provider its nodes ran on: too old"
    elsewhere = {
        provider: sum(count for operator, count in operators.items() if "Conv" in operator)  # FusedConv too
        for provider, operators in assignment.items()
        if provider != CUDA
    }
    if any(elsewhere.values()):
        return "convolutions ran on " + ", ".join(f"{provider} ({count})" for provider, count in elsewhere.items() if count)
    if not any("Conv" in operator for operator in assignment.get(CUDA, {})):
        return "no convolution ran on CUDA"
    return None


def has_gpu() -> bool:
    """Whether the NVIDIA driver is there and sees a GPU: asks the driver itself, which loads no CUDA."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
