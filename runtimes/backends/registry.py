"""Every runtime that `eval` knows: to add one, write its file and add its line."""

from importlib import import_module
from typing import TYPE_CHECKING, cast

from nin_onnx.errors import UnknownNameError

if TYPE_CHECKING:  # the names alone need no NumPy
    from nin_onnx.runtimes.backends.base import Runtime

__all__ = ["ON_REQUEST", "RUNTIMES", "full_name", "import_runtime", "runtime"]

RUNTIMES = {
    "pytorch": "nin_onnx.runtimes.backends.pytorch:PyTorch",
    "onnxruntime": "nin_onnx.runtimes.backends.onnxruntime_cpu:OnnxRuntime",
    "onnxruntime-cuda": "nin_onnx.runtimes.backends.onnxruntime_cuda:OnnxRuntimeCuda",
    "openvino": "nin_onnx.runtimes.backends.openvino:OpenVino",
    "openvino-bf16": "nin_onnx.runtimes.backends.openvino:OpenVinoBf16",
    "opencv": "nin_onnx.runtimes.backends.opencv:OpenCv",
    "tract": "nin_onnx.runtimes.backends.tract:Tract",
    "ncnn": "nin_onnx.runtimes.backends.ncnn:Ncnn",
    "mnn": "nin_onnx.runtimes.backends.mnn:Mnn",
    "onnxruntime-node": "nin_onnx.runtimes.backends.onnxruntime_node:OnnxRuntimeNode",
    "onnxruntime-web": "nin_onnx.runtimes.backends.onnxruntime_node:OnnxRuntimeWeb",
    "chromium": "nin_onnx.runtimes.backends.chromium:Chromium",
    "reference": "nin_onnx.runtimes.backends.reference:Reference",
    "emulated-avx2": "nin_onnx.runtimes.backends.emulated_avx2:EmulatedAvx2",
}
"""Name -> module:class. The first is what the others' label changes are counted against, where it runs."""
ON_REQUEST = ("openvino-bf16", "emulated-avx2")
"""Those that run only if they are named."""
SHORT = {"cuda": "onnxruntime-cuda", "node": "onnxruntime-node", "web": "onnxruntime-web"}
"""What a name may be shortened to."""


def full_name(name: str) -> str:
    """The name in the registry; raises `UnknownNameError`."""
    name = SHORT.get(name, name)
    if name not in RUNTIMES:
        raise UnknownNameError("runtime", name, RUNTIMES)
    return name


def runtime(name: str) -> "type[Runtime]":
    """The runtime of that name; raises `UnknownNameError`."""
    return import_runtime(RUNTIMES[full_name(name)])


def import_runtime(place: str) -> "type[Runtime]":
    """The runtime at `module:class`."""
    module, name = place.split(":")
    return cast("type[Runtime]", getattr(import_module(module), name))
