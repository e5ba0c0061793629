"""What a result was obtained with: processor, packages, and the state of the source."""

import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module, metadata
from pathlib import Path
from types import MappingProxyType

from nin_onnx import __version__

__all__ = ["commit", "hardware", "in_words", "instructions", "peak_memory", "processes", "versions"]

CPUINFO = Path("/proc/cpuinfo")
INSTRUCTIONS: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {
        "AVX2": ("AVX2", None),
        "AVX-512": ("AVX512F", None),
        "VNNI": ("AVX512VNNI", None),
        "AVX-VNNI": ("VAES", "avx_vnni"),
        "AVX512-BF16": ("AVX512BF16", None),
        "AMX (bfloat16)": ("AVX512F", "amx_bf16"),
        "AMX (int8)": ("AVX512F", "amx_int8"),
        "NEON": ("ASIMD", None),
        "NEON dotprod": ("ASIMDDP", None),
        "NEON i8mm": ("ASIMDDP", "i8mm"),
        "SVE": ("SVE", None),
    }
)
"""Instruction set that decides how fast or in which precision a runtime computes -> NumPy's word for it, and Linux's.

NumPy asks the processor, so it is right under an emulator too, where /proc/cpuinfo tells of the host. What NumPy does not know
is looked up there, and believed only of a processor that has what all of its kind have.
"""
OLDER: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {"AVX-VNNI": ("AVX2", "avx_vnni"), "AVX512-BF16": ("AVX512F", "avx512_bf16")}
)
"""The same where NumPy is too old to know the word."""


def hardware() -> dict[str, str | int]:
    """Processor, cores that this process may use, operating system, architecture."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "system": platform.system(),
        "architecture": platform.machine(),
    }


def instructions() -> tuple[str, ...]:
    """Return the instruction sets of `INSTRUCTIONS` that this process can use."""
    words = set(CPUINFO.read_text(errors="replace").split()) if CPUINFO.exists() else set()
    has = _numpy_features()
    known = {name: pair if pair[0] in has else OLDER.get(name, pair) for name, pair in INSTRUCTIONS.items()}
    return tuple(name for name, (word, linux) in known.items() if has.get(word) and (linux is None or linux in words))


def in_words(names: Iterable[str]) -> str:
    """Return instruction sets as a reader sees them."""
    return ", ".join(names) or "baseline instructions only"


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of nin-onnx, of Python, and of those of the packages that are installed."""
    found = {"nin-onnx": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def peak_memory() -> int | None:
    """Bytes at the peak of each process of this one's group, added up; None where the system does not tell."""
    if not Path("/proc/self/status").exists():
        return None
    total = 0
    for process in processes(os.getpgrp()):
        try:
            status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
            total += int(status["VmHWM"].split()[0]) * 1024
        except (OSError, KeyError):  # it has ended meanwhile
            continue
    return total


def processes(group: int) -> Iterator[Path]:
    """The folder in /proc of each process of a group that has not ended; none where the system does not tell."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, _, its_group = (process / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it has ended meanwhile
            continue
        if int(its_group) == group and state not in "ZX":
            yield process


def commit() -> str | None:
    """The commit that runs, `-dirty` where tracked files differ from it; None outside a git checkout of nin-onnx."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _numpy_features() -> Mapping[str, bool]:
    """Return what NumPy found out about the processor when it was imported; it has no public name for that."""
    found: Mapping[str, bool] = getattr(import_module("numpy._core._multiarray_umath"), "__cpu_features__", {})
    return found


def _processor() -> str:
    if CPUINFO.exists():
        for line in CPUINFO.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
