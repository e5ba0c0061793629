"""Device and precision."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from nin_onnx.errors import NinOnnxError
from nin_onnx.train import device

CPU = torch.device("cpu")
CPUINFO = Path("/proc/cpuinfo")


def test_auto_is_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, expected in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        assert device.choose("auto").type == expected
        assert device.choose("cpu").type == "cpu"


def test_each_process_of_a_machine_has_a_gpu_of_its_own_or_is_told_that_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert device.choose("cuda") == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(NinOnnxError, match=r"^process 3 of this machine finds 2 GPUs: lower --nproc-per-node$"):
        device.choose("cuda")


def test_cuda_without_a_gpu_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(NinOnnxError, match=r"^device 'cuda' is not available: .*; use --device cpu$"):
        device.choose("cuda")


@pytest.fixture
def settings_of_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a training sets for CUDA in the whole process is put back."""
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    before = torch.are_deterministic_algorithms_enabled()
    with torch.backends.cudnn.flags():
        yield
    torch.use_deterministic_algorithms(before)


@pytest.mark.usefixtures("settings_of_cuda")
def test_a_training_after_a_deterministic_one_is_not_deterministic_too() -> None:
    for deterministic in (True, False):
        device.set_up(torch.device("cuda", 0), deterministic=deterministic)
        assert torch.are_deterministic_algorithms_enabled() is deterministic
        assert torch.backends.cudnn.benchmark is not deterministic


def test_a_precision_that_is_named_is_taken() -> None:
    assert device.precision("fp32", CPU) is torch.float32
    assert device.precision("bf16", CPU) is torch.bfloat16


@pytest.mark.parametrize(("has", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_bf16_where_the_processor_multiplies_in_it(
    monkeypatch: pytest.MonkeyPatch, has: bool, expected: torch.dtype
) -> None:
    monkeypatch.setattr(device, "_cpu_has_bf16", lambda: has)
    assert device.precision("auto", CPU) is expected


@pytest.mark.skipif(not CPUINFO.exists(), reason="no /proc/cpuinfo")
def test_this_processor_multiplies_in_bf16_if_linux_says_so() -> None:
    """The question uses names of torch that are not public."""
    assert device._cpu_has_bf16() == bool({"avx512_bf16", "amx_tile"} & set(CPUINFO.read_text().split()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_convolutions_compute_in_the_precision_and_weights_stay_float32(dtype: torch.dtype) -> None:
    convolution = torch.nn.Conv2d(1, 1, 1)
    with device.autocast(CPU, dtype):
        assert convolution(torch.ones(1, 1, 2, 2)).dtype is dtype
    assert convolution.weight.dtype is torch.float32
