"""Where a training runs, and in which precision the hardware computes fast."""

import os
from contextlib import AbstractContextManager

import torch

from nin_onnx.errors import NinOnnxError

__all__ = ["autocast", "choose", "name", "precision", "set_up"]


def choose(name: str) -> torch.device:
    """The device called `auto`, `cpu` or `cuda`; `auto` is CUDA where there is one, and torchrun gives each process its own."""
    if name == "cuda" and not torch.cuda.is_available():
        raise NinOnnxError("the device 'cuda' is not here: torch finds no NVIDIA GPU; use --device cpu")
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
    """What the GPU is called; `cpu` for a processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def precision(name: str, device: torch.device) -> torch.dtype:
    """The type that convolutions compute in; `auto` is bf16 where the hardware multiplies in it."""
    if name == "auto":
        fast = torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else _cpu_has_bf16()
        name = "bf16" if fast else "fp32"
    return torch.bfloat16 if name == "bf16" else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[None]:
    """Let convolutions compute in `dtype`, with weights and gradients in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)


def _cpu_has_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
