"""Runs one runtime: checks whether it can run here, and returns what came of the images in a process of its own."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from nin_onnx.runtimes.backends.base import Unusable
from nin_onnx.runtimes.backends.registry import RUNTIMES, runtime
from nin_onnx.runtimes.model import ModelFile
from nin_onnx.runtimes.options import EvalOptions
from nin_onnx.runtimes.workers.job import Feed, Job, Result
from nin_onnx.runtimes.workers.process import run_job

__all__ = ["as_given", "run_runtime"]


def run_runtime(name: str, model: ModelFile, feeds: Mapping[str, Feed], folder: Path, options: EvalOptions) -> Result:
    """Return what comes of the runtime `name`, which works in the new `folder`."""
    kind = runtime(name)
    try:
        if name not in options.interpreters:
            kind.check()
        kind.accepts(model)
    except Unusable as reason:
        return Result("skipped", reason.reason, reason.install)
    slow = model.foreign and kind.images is not None
    wanted = {feed: images for feed, images in feeds.items() if feed in ("golden", "dataset") or not slow}
    if "dataset" in wanted:
        whole = wanted["dataset"]
        wanted["dataset"] = replace(whole, images=min(whole.images, options.limit or kind.images or whole.images))
    job = Job(RUNTIMES[name], model.graph_info, options.cores, wanted)
    result = run_job(job, folder, options.time_limit, options.interpreters.get(name))
    return replace(result, reason=result.reason and as_given(result.reason, model))


def as_given(reason: str, model: ModelFile) -> str:
    """Return `reason` with the model's path as the user gave it: no report shows where on this machine it lies."""
    for suffix in (".onnx", ".safetensors"):
        reason = reason.replace(str(model.path.absolute().with_suffix(suffix)), str(model.path.with_suffix(suffix)))
    return reason
