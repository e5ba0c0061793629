"""Asks one runtime: whether it can run here, and what comes of the images in a process of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nin_onnx.runtimes.backends.base import Unusable
from nin_onnx.runtimes.backends.registry import RUNTIMES, runtime
from nin_onnx.runtimes.model import ModelFile
from nin_onnx.runtimes.workers.job import Feed, Job, Result
from nin_onnx.runtimes.workers.process import run_job

__all__ = ["Conditions", "as_given", "ask"]


@dataclass(frozen=True)
class Conditions:
    """What is the same for all runtimes, but for the Python of some."""

    limit: int | None
    threads: int
    time_limit: float
    interpreters: Mapping[str, Path]


def ask(name: str, model: ModelFile, feeds: Mapping[str, Feed], folder: Path, conditions: Conditions) -> Result:
    """What comes of one runtime."""
    kind = runtime(name)
    try:
        if name not in conditions.interpreters:
            kind.check()
        kind.accepts(model)
    except Unusable as reason:
        return Result("skipped", reason.reason, reason.install)
    slow = model.foreign and kind.images is not None
    wanted = {feed: images for feed, images in feeds.items() if feed in ("golden", "dataset") or not slow}
    if "dataset" in wanted:
        whole = wanted["dataset"]
        wanted["dataset"] = replace(whole, images=min(whole.images, conditions.limit or kind.images or whole.images))
    job = Job(RUNTIMES[name], str(model.path.absolute()), conditions.threads, wanted)
    answer = run_job(job, folder, conditions.time_limit, conditions.interpreters.get(name))
    return replace(answer, reason=answer.reason and as_given(answer.reason, model))


def as_given(reason: str, model: ModelFile) -> str:
    """`reason` with the model's path as the user gave it: no report tells where on this machine it lies."""
    for suffix in (".onnx", ".safetensors"):
        reason = reason.replace(str(model.path.absolute().with_suffix(suffix)), str(model.path.with_suffix(suffix)))
    return reason
