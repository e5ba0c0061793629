"""The process of a runtime that is timed: loaded once, it takes a turn for each byte that comes in, and then lies still.

`python -m nin_onnx.runtimes.workers.bench_worker FOLDER` reads the job in FOLDER, and writes the result of each turn to turn-0,
turn-1, and so on.
"""

import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.runtimes.backends.base import Runtime
from nin_onnx.runtimes.rows import MAX_BATCH_SECONDS
from nin_onnx.runtimes.workers.job import FeedOutputs, Job, Result, read_job, write_result
from nin_onnx.runtimes.workers.worker import follow, load, outcome

__all__ = ["main"]

WARM_UP = 0.2
"""Seconds at the start of a turn that do not count: caches fill, and the threads of the runtime before come to rest."""
MEASURED, CALLS = 0.4, 100
"""Seconds, or batches where those come first, that are measured of each size in a turn."""


def main(folder: Path) -> None:
    """Wait for a turn, take it, and so on, until `follow` ends the process."""
    told: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=follow, args=(told,), daemon=True).start()
    results = take_turns(read_job(folder))
    for number in count():
        told.get()
        result = outcome(partial(next, results))
        target = folder / f"turn-{number}"
        target.mkdir()
        write_result(target, result)


def take_turns(job: Job) -> Iterator[Result]:
    """First which feeds it is fast enough for; from then on each batch of these with the seconds that it took."""
    runtime = load(job)
    batches = dict(_fast_enough(runtime, job))
    yield Result("done", feeds=dict.fromkeys(batches, FeedOutputs({}, ())))
    while True:
        _run_until(WARM_UP, runtime, next(iter(batches.values())))
        feeds = {}
        for name, images in batches.items():
            runtime.run(images)  # of another size than before, for which memory may be laid out anew
            feeds[name] = FeedOutputs({}, tuple((len(images), seconds) for seconds in _run_until(MEASURED, runtime, images)))
        yield Result("done", feeds=feeds)


def _fast_enough(runtime: Runtime, job: Job) -> Iterator[tuple[str, NDArray[Any]]]:
    """The batches from the smallest on, as long as the one before lets expect no more than `MAX_BATCH_SECONDS`."""
    for_one = 0.0
    for name, feed in job.feeds.items():
        if for_one * feed.batch > MAX_BATCH_SECONDS:
            return
        images = np.load(feed.file, allow_pickle=False)[: feed.batch]
        runtime.run(images)  # the first is slower
        for_one = min(_run_until(0, runtime, images)) / len(images)
        yield name, images


def _run_until(limit: float, runtime: Runtime, images: NDArray[Any]) -> list[float]:
    """Run a batch, once at least, until `limit` seconds have passed; the seconds that it took each time."""
    times: list[float] = []
    end = time.perf_counter() + limit
    while not times or (len(times) < CALLS and time.perf_counter() < end):
        start = time.perf_counter()
        runtime.run(images)
        times.append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    main(Path(sys.argv[1]))
