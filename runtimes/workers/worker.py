"""The process that one runtime has for itself: `python -m nin_onnx.runtimes.workers.worker FOLDER` does the job in FOLDER."""

import os
import signal
import sys
import threading
import time
import traceback
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from nin_onnx.machine import instructions, peak_memory
from nin_onnx.runtimes.backends.base import Runtime, RuntimeInfo, Unusable
from nin_onnx.runtimes.backends.registry import import_runtime
from nin_onnx.runtimes.workers.job import Feed, FeedOutputs, Job, Result, read_job, write_result

__all__ = ["facts", "follow", "load", "main", "outcome"]


def main(folder: Path) -> None:
    """Do the job in `folder` and leave the result there."""
    write_result(folder, outcome(lambda: work(read_job(folder))))


def outcome(do: Callable[[], Result]) -> Result:
    """What comes of it: whatever a runtime raises is its outcome."""
    try:
        return do()
    except Unusable as reason:
        return Result("skipped", reason.reason, reason.install)
    except Exception as error:
        traceback.print_exc()
        return Result("error", ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]]))


def load(job: Job) -> Runtime:
    """The runtime of `job`, with the model loaded."""
    kind = import_runtime(job.runtime)
    kind.check()  # once more: this Python may be another
    runtime = kind()
    runtime.load(job.model, job.threads)
    return runtime


def work(job: Job) -> Result:
    """Load the runtime, run every feed, and ask what ran, if anything did."""
    runtime = load(job)
    feeds = {name: run(runtime, feed) for name, feed in job.feeds.items()}
    return Result("done", facts=facts(runtime) if feeds else None, feeds=feeds, memory=peak_memory())


def facts(runtime: Runtime) -> RuntimeInfo:
    """What ran, and the instruction sets that it had if that was the CPU and it has no others of its own."""
    found = runtime.facts()
    return replace(found, instructions=instructions()) if found.device == "cpu" and found.instructions is None else found


def run(runtime: Runtime, feed: Feed) -> FeedOutputs:
    """The wanted outputs of every batch, joined, and the size of each batch with the seconds it took inside the runtime."""
    images = np.load(feed.file, mmap_mode="r", allow_pickle=False)[: feed.images]
    kept = defaultdict(list)
    batches = []
    for first in range(0, len(images), feed.batch):
        batch = np.array(images[first : first + feed.batch])  # [batch, ...] as the model takes them, read from the disk here
        start = time.perf_counter()
        outputs = runtime.run(batch)
        batches.append((len(batch), time.perf_counter() - start))
        for name in feed.outputs:
            if name in outputs:
                kept[name].append(np.array(outputs[name]))  # a copy: the runtime may use the memory again
    return FeedOutputs({name: np.concatenate(parts) for name, parts in kept.items()}, tuple(batches))


def follow(turns: SimpleQueue[bytes]) -> None:
    """Hand on what comes in; end this process and all that it started when no more can: when `eval` ends, however it does."""
    while byte := os.read(0, 1):
        turns.put(byte)
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=follow, args=(SimpleQueue(),), daemon=True).start()
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # the result is given: a runtime that hangs or crashes while it is torn down cannot take it back
