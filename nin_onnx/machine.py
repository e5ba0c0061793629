"""What a result was obtained with: processor, packages, and the state of the source."""

import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from nin_onnx import __version__

__all__ = ["commit", "hardware", "peak_memory", "processes", "versions"]


def hardware() -> dict[str, str | int]:
    """Processor, cores that this process may use, operating system, architecture."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "system": platform.system(),
        "architecture": platform.machine(),
    }


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


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
