"""`--bench`: how fast each runtime is: all lie loaded, each in its process, and take turns, so that drift is fair to all."""

import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.runtimes.backends.registry import RUNTIMES
from nin_onnx.runtimes.model import ModelFile
from nin_onnx.runtimes.options import EvalOptions
from nin_onnx.runtimes.rows import Outcome, Row, Timing
from nin_onnx.runtimes.workers.job import Feed, Job, Result, read_result
from nin_onnx.runtimes.workers.process import start_worker, why_ended
from nin_onnx.runtimes.workers.run import as_given

__all__ = ["ROUNDS", "SIZES", "bench"]

SIZES = (1, 32, 128)
"""Batches: alone for the latency, the others for the throughput; a model that takes but one size is tried with that."""
ROUNDS = 5
PAUSE = 0.02
"""Seconds between two looks for a result."""


def bench(
    rows: tuple[Row, ...],
    model: ModelFile,
    images: NDArray[Any],
    folder: Path,
    options: EvalOptions,
) -> tuple[Row, ...]:
    """`rows` with the speed of all that ran; one that crashes or hangs while it is timed becomes an error.

    Only one computes at a time. The time limit holds for all the turns of a runtime together, its start included.
    """
    file = folder / "bench.npy"
    sizes = SIZES if model.fixed_batch is None else (model.fixed_batch,)
    np.save(file, np.resize(images, (max(sizes), *images.shape[1:])), allow_pickle=False)  # the same ones again and again
    feeds = {str(size): Feed(str(file), size, size, ()) for size in sizes}
    with ExitStack() as stack:
        workers = []
        for name in (row.runtime for row in rows if row.outcome in ("pass", "fail")):
            options.progress(f"{name}, to be timed")
            job = Job(RUNTIMES[name], model.graph_info, options.cores, feeds)
            workers.append(stack.enter_context(BenchWorker(name, job, folder / f"{name}-timed", options)))
            workers[-1].turn()
        for number in range(ROUNDS):
            options.progress(f"round {number + 1} of {ROUNDS}")
            for worker in workers:
                worker.turn()
    done = {worker.name: worker for worker in workers}
    return tuple(_timed(row, done[row.runtime], model) if row.runtime in done else row for row in rows)


class BenchWorker:
    """One runtime in its process, and what came of its turns."""

    def __init__(self, name: str, job: Job, folder: Path, options: EvalOptions) -> None:
        self.name = name
        self.results: list[Result] = []
        self.problem: str | None = None
        self._folder = folder
        self._limit = self._left = options.time_limit
        self._stack = ExitStack()
        self._process = self._stack.enter_context(start_worker("bench_worker", job, folder, options.interpreters.get(name)))

    def __enter__(self) -> "BenchWorker":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def turn(self) -> None:
        """Let it take one turn; where that goes wrong, it is its last."""
        if self.problem is not None:
            return
        start = time.monotonic()
        with suppress(OSError):  # it has ended: `_wait` says how
            assert self._process.stdin is not None
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
        try:
            self.problem = self._wait(start + self._left)
        except ValueError as error:
            self.problem = f"the worker's result cannot be read ({error})"
        self._left -= time.monotonic() - start
        if self.problem is not None:
            self._stack.close()

    def _wait(self, deadline: float) -> str | None:
        """Take the result; return why there is none, if there is none."""
        while True:
            status = self._process.poll()  # before the look: it may write its result and end in between
            result = read_result(self._folder / f"turn-{len(self.results)}")
            if result is not None:
                break
            if status is not None:
                return why_ended(status, self._folder)
            if time.monotonic() > deadline:
                return f"stopped at the time limit of {self._limit:g} s"
            time.sleep(PAUSE)
        if result.outcome != "done":
            return result.reason or result.outcome
        if self.results and not _complete(result, self.results[0]):
            raise ValueError("not every batch has its times")
        self.results.append(result)
        return None


def _complete(result: Result, first: Result) -> bool:
    return result.feeds.keys() == first.feeds.keys() and all(outputs.batches for outputs in result.feeds.values())


def _timed(row: Row, worker: BenchWorker, model: ModelFile) -> Row:
    if worker.problem is not None:
        reason = f"when it was timed: {as_given(worker.problem, model)}"
        outcome: Outcome = "error" if row.outcome == "pass" else row.outcome
        return replace(row, outcome=outcome, reason="; ".join(filter(None, (row.reason, reason))))
    first, *rounds = (result.feeds for result in worker.results)
    return replace(row, speed=tuple(_timing([feeds[name].batches for feeds in rounds]) for name in first))


def _timing(rounds: list[tuple[tuple[int, float], ...]]) -> Timing:
    """From the size and the seconds of each batch of each round."""
    (batch, _), *_ = rounds[0]
    seconds = [median(seconds for _, seconds in batches) for batches in rounds]
    return Timing(batch, tuple(1000 * each for each in seconds), 1000 * median(seconds), batch / median(seconds))
