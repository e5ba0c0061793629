"""Every runtime that `eval` knows: to add one, write its file and add its line."""

from importlib import import_module
from typing import cast

from nin_onnx.errors import UnknownNameError
from nin_onnx.runtimes.contract import Runtime

__all__ = ["RUNTIMES", "full_name", "import_runtime", "runtime"]

RUNTIMES = {
    "pytorch": "nin_onnx.runtimes.pytorch:PyTorch",
    "onnxruntime": "nin_onnx.runtimes.onnxruntime_cpu:OnnxRuntime",
    "onnxruntime-cuda": "nin_onnx.runtimes.onnxruntime_cuda:OnnxRuntimeCuda",
    "openvino": "nin_onnx.runtimes.openvino:OpenVino",
    "openvino-bf16": "nin_onnx.runtimes.openvino:OpenVinoBf16",
    "opencv": "nin_onnx.runtimes.opencv:OpenCv",
    "tract": "nin_onnx.runtimes.tract:Tract",
    "ncnn": "nin_onnx.runtimes.ncnn:Ncnn",
    "mnn": "nin_onnx.runtimes.mnn:Mnn",
    "onnxruntime-node": "nin_onnx.runtimes.onnxruntime_node:OnnxRuntimeNode",
    "onnxruntime-web": "nin_onnx.runtimes.onnxruntime_node:OnnxRuntimeWeb",
    "chromium": "nin_onnx.runtimes.chromium:Chromium",
    "reference": "nin_onnx.runtimes.reference:Reference",
    "emulated-avx2": "nin_onnx.runtimes.emulated:EmulatedAvx2",
}
"""Name -> module:class. The first is what the others' label changes are counted against, where it runs."""
SHORT = {"cuda": "onnxruntime-cuda", "node": "onnxruntime-node", "web": "onnxruntime-web"}
"""What a name may be shortened to."""


def full_name(name: str) -> str:
    """The name in the registry; raises `UnknownNameError`."""
    name = SHORT.get(name, name)
    if name not in RUNTIMES:
        raise UnknownNameError("runtime", name, RUNTIMES)
    return name


def runtime(name: str) -> type[Runtime]:
    """The runtime of that name; raises `UnknownNameError`."""
    return import_runtime(RUNTIMES[full_name(name)])


def import_runtime(place: str) -> type[Runtime]:
    """The runtime at `module:class`."""
    module, name = place.split(":")
    return cast(type[Runtime], getattr(import_module(module), name))
