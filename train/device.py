"""The device that a training runs on, and the precision that it computes in."""

import os
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from nin_onnx.errors import NinOnnxError

__all__ = ["autocast", "choose", "kernels_for", "name", "precision", "set_up"]


def choose(name: str) -> torch.device:
    """Return the device `auto`, `cpu` or `cuda`; `auto` is CUDA if available, and each process of torchrun has its own GPU."""
    if name == "cuda" and not torch.cuda.is_available():
        raise NinOnnxError("device 'cuda' is not available: torch finds no NVIDIA GPU; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device(name)
    number = int(os.environ.get("LOCAL_RANK", "0"))
    if number >= torch.cuda.device_count():
        raise NinOnnxError(f"process {number + 1} of this machine finds {torch.cuda.device_count()} GPUs: lower --nproc-per-node")
    return torch.device(name, number)


def set_up(device: torch.device, *, deterministic: bool) -> None:
    """Let CUDA compute float32 as float32, not TF32, by the fastest convolutions or, `deterministic`, repeatable ones."""
    if device.type == "cpu":
        return
    torch.cuda.set_device(device)
    torch.backends.cudnn.allow_tf32 = False
    # Or long sums, as those of a weight's gradient over all places, are split, and their parts rounded to bf16.
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cudnn.benchmark = not deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS may take another path each time
    if torch.are_deterministic_algorithms_enabled() != deterministic:  # a training before this one may have asked for them
        torch.use_deterministic_algorithms(deterministic)


def name(device: torch.device) -> str:
    """Return the name of the GPU, or `cpu`."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def precision(name: str, device: torch.device) -> torch.dtype:
    """Return the type that convolutions compute in; `auto` is bf16 if the hardware multiplies in it."""
    if name == "auto":
        fast = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_bf16()
        name = "bf16" if fast else "fp32"
    return torch.bfloat16 if name == "bf16" else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[None]:
    """Let convolutions compute in `dtype`, with weights and gradients in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


def kernels_for(x: Tensor) -> Any:
    """Return the module `kernels` if `x` is on a GPU, else None: plain PyTorch does the same then."""
    if not x.is_cuda:
        return None
    from nin_onnx.train import kernels

    return kernels


def _cpu_has_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
