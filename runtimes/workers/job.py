"""What `eval` and a worker process hand each other: JSON and .npy files in a folder, never a pickle."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nin_onnx.runtimes.backends.base import RuntimeInfo
from nin_onnx.runtimes.model import GraphInfo

__all__ = ["Feed", "FeedOutputs", "Job", "Result", "read_job", "read_result", "write_job", "write_result"]

JOB, RESULT = "job.json", "result.json"


@dataclass(frozen=True)
class Feed:
    """Images to run, and what to bring back."""

    file: str
    """.npy of images [N, ...] in the form that the model takes."""
    images: int
    """How many of them, from the first."""
    batch: int
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """A runtime, a model, and what to feed it, by name."""

    runtime: str
    """module:class."""
    model: GraphInfo
    threads: int
    feeds: Mapping[str, Feed]


@dataclass(frozen=True, eq=False)
class FeedOutputs:
    """What came of one feed."""

    arrays: Mapping[str, NDArray[Any]]
    batches: tuple[tuple[int, float], ...]
    """For each batch its images, and the seconds that it took inside the runtime."""


@dataclass(frozen=True, eq=False)
class Result:
    """What became of a job: outputs and facts, or the reason why there are none."""

    outcome: Literal["done", "skipped", "error"]
    reason: str | None = None
    install: str | None = None
    facts: RuntimeInfo | None = None
    feeds: Mapping[str, FeedOutputs] = field(default_factory=dict)
    memory: int | None = None
    """Bytes at the peak of the process and all that it started."""


def write_job(folder: Path, job: Job) -> None:
    """Leave `job` in `folder`."""
    (folder / JOB).write_text(json.dumps(asdict(job), default=str), encoding="utf-8")


def read_job(folder: Path) -> Job:
    """The job that lies in `folder`."""
    values = json.loads((folder / JOB).read_text(encoding="utf-8"))
    feeds = {name: Feed(**feed) for name, feed in values.pop("feeds").items()}
    model = values.pop("model")
    info = GraphInfo(Path(model["path"]), model["input"], tuple(model["outputs"]), model["precision"])
    return Job(**values, model=info, feeds=feeds)


def write_result(folder: Path, result: Result) -> None:
    """Leave `result` in `folder`, arrays first: if there is a result, it is whole."""
    feeds: dict[str, Any] = {}
    for name, outputs in result.feeds.items():
        files = {output: f"{name}-{i}.npy" for i, output in enumerate(outputs.arrays)}
        for output, file in files.items():
            np.save(folder / file, outputs.arrays[output], allow_pickle=False)
        feeds[name] = {"files": files, "batches": outputs.batches}
    content: dict[str, Any] = {"outcome": result.outcome, "reason": result.reason, "install": result.install}
    content |= {"facts": result.facts and asdict(result.facts), "feeds": feeds, "memory": result.memory}
    aside = folder / f"{RESULT}.part"
    aside.write_text(json.dumps(content), encoding="utf-8")
    aside.replace(folder / RESULT)  # not flushed to the disk: where the machine falls, `eval` falls too


def read_result(folder: Path) -> Result | None:
    """Return the result in `folder`, None where there is none; raises `ValueError` for what no worker writes."""
    if not (folder / RESULT).exists():
        return None
    try:
        values = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        if values["outcome"] not in ("done", "skipped", "error"):
            raise ValueError(f"unknown outcome '{values['outcome']}'")
        feeds = {}
        for name, outputs in values.pop("feeds").items():
            arrays = {output: np.load(folder / file, allow_pickle=False) for output, file in outputs["files"].items()}
            feeds[name] = FeedOutputs(arrays, tuple((int(images), float(seconds)) for images, seconds in outputs["batches"]))
        facts = values.pop("facts")
        memory = values.pop("memory", None)
        return Result(**values, facts=_facts(facts) if facts else None, feeds=feeds, memory=memory and int(memory))
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _facts(values: dict[str, Any]) -> RuntimeInfo:
    lists = {name: values.pop(name) for name in ("providers", "instructions")}
    return RuntimeInfo(**values | {name: None if given is None else tuple(given) for name, given in lists.items()})
