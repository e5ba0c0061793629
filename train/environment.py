"""What a training ran on and with, as its summary and its state name it."""

from typing import Any

import torch

from nin_onnx import machine
from nin_onnx.train import device as devices

__all__ = ["PACKAGES", "computed_on", "environment"]

PACKAGES = ("torch", "numpy", "safetensors")


def computed_on(device: torch.device, dtype: torch.dtype) -> dict[str, str]:
    """Return the names of the device and of the precision."""
    return {"device": devices.name(device), "precision": str(dtype).removeprefix("torch.")}


def environment(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Return device, precision, hardware, versions and commit of this process."""
    return {
        **computed_on(device, dtype),
        "hardware": machine.hardware(),
        "versions": machine.versions(PACKAGES),
        "commit": machine.commit(),
    }
