"""What `nin-onnx doctor` tells: which runtimes can run here, what clashes, and what the hardware can do."""

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nin_onnx import models
from nin_onnx.machine import hardware, instructions
from nin_onnx.runtimes.backends.base import Unusable
from nin_onnx.runtimes.backends.onnxruntime_cpu import clash, packages
from nin_onnx.runtimes.backends.registry import RUNTIMES, runtime
from nin_onnx.runtimes.model import ModelFile
from nin_onnx.runtimes.read_model import read_model
from nin_onnx.runtimes.workers.job import Job
from nin_onnx.runtimes.workers.process import run_job

__all__ = ["Diagnosis", "RuntimeState", "diagnose"]

DRIVER = Path("/proc/driver/nvidia/version")
TIME_LIMIT = 120.0
"""Seconds for one runtime, its start included; several start at once."""
TRIAL = "nin-digits"
"""The shipped model that every runtime loads where no other is given: what is installed may still not start."""


@dataclass(frozen=True)
class RuntimeState:
    """One runtime: whether it starts here and loads the model, or why not and what would help."""

    runtime: str
    usable: bool
    version: str | None = None
    reason: str | None = None
    install: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """All of them, and what they run on."""

    runtimes: tuple[RuntimeState, ...]
    processor: str
    features: tuple[str, ...]
    driver: str | None
    """NVIDIA's driver, in its own words; None where there is none, or where it does not tell."""
    providers: tuple[str, ...]
    """What the installed ONNX Runtime was built with: no proof that it can run on it."""
    clashes: tuple[str, ...]


def diagnose(model: ModelFile | None = None) -> Diagnosis:
    """Look at this machine: every runtime loads `model`, in a process of its own, or gives its reason why not.

    A broken install is found so, and an IR version or an opset that is too new. None for a small model that ships.
    """
    file = model or read_model(models.find(TRIAL))
    with ThreadPoolExecutor(int(hardware()["cores"])) as pool:
        states = {state.runtime: state for state in pool.map(partial(_state, model=file, given=model is not None), RUNTIMES)}
    return Diagnosis(
        runtimes=tuple(states.values()),
        processor=str(hardware()["processor"]),
        features=instructions(),
        driver=_driver(),
        providers=_providers() if states.get("onnxruntime", UNTRIED).usable else (),
        clashes=tuple(": ".join(several) for several in [clash(packages(), "cpu")] if several),
    )


UNTRIED = RuntimeState("", usable=False)


def _state(name: str, model: ModelFile, *, given: bool) -> RuntimeState:
    kind = runtime(name)
    try:
        kind.check()
        if given:  # the model on trial is for whether it starts, not for whether it has something to do
            kind.accepts(model)
    except Unusable as reason:
        return RuntimeState(name, usable=False, reason=reason.reason, install=reason.install)
    with tempfile.TemporaryDirectory(prefix="nin-onnx-") as temporary:
        result = run_job(Job(RUNTIMES[name], model.graph_info, 1, {}), Path(temporary) / name, TIME_LIMIT)
    return RuntimeState(name, result.outcome == "done", kind.installed(), result.reason, result.install)


def _driver() -> str | None:
    return DRIVER.read_text(errors="replace").splitlines()[0].strip() if DRIVER.exists() else None


def _providers() -> tuple[str, ...]:
    """Of an ONNX Runtime that a process of its own has imported without harm."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # to import it is to report to its makers
    import onnxruntime

    return tuple(onnxruntime.get_available_providers())
