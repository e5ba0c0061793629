"""Starts a worker process, waits for it no longer than the time limit, and leaves neither it nor its children behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nin_onnx
from nin_onnx.machine import processes
from nin_onnx.runtimes.workers.job import Job, Result, read_result, write_job

__all__ = ["run_job", "start_worker", "why_ended"]

LOG = "log"
PATIENCE = 5.0
"""Seconds that processes which were killed may take to be gone."""


def run_job(job: Job, folder: Path, time_limit: float, interpreter: Path | None = None) -> Result:
    """Do `job` in a process of its own that works in `folder`, for `time_limit` seconds at most; there is always a result."""
    with start_worker("worker", job, folder, interpreter) as process:
        try:
            status = process.wait(time_limit)
        except subprocess.TimeoutExpired:
            return Result("error", f"stopped at the time limit of {time_limit:g} s{_last_words(folder)}")
    if status != 0:
        return Result("error", why_ended(status, folder))
    try:
        result = read_result(folder)
    except ValueError as error:
        return Result("error", f"the worker's result cannot be read ({error})")
    if result is None:
        return Result("error", why_ended(status, folder))
    if result.outcome == "done" and result.feeds.keys() != job.feeds.keys():
        return Result("error", f"the worker's result cannot be read (it holds {sorted(result.feeds)}, not {sorted(job.feeds)})")
    return result


def _everything() -> str:
    """Where this process looks for modules: a worker can import what it can, installed or not."""
    return os.pathsep.join(os.path.abspath(entry) for entry in sys.path)  # noqa: PTH100 - "" is the current folder


def _ourselves(folder: Path) -> str:
    """A folder in `folder` from which nothing but nin_onnx can be imported."""
    alone = folder / "path"
    alone.mkdir()
    (alone / "nin_onnx").symlink_to(Path(nin_onnx.__file__).parent, target_is_directory=True)
    return str(alone)


@contextmanager
def start_worker(module: str, job: Job, folder: Path, interpreter: Path | None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs our `module` for `job` in the new `folder`; when the block ends, so does all that it started.

    `interpreter`: another Python, which brings its own packages and gets nothing of ours but nin-onnx itself.
    """
    folder.mkdir()
    write_job(folder, job)
    environment = os.environ | {
        "PYTHONPATH": _ourselves(folder) if interpreter else _everything(),
        "PYTHONUNBUFFERED": "1",
        "ORT_DISABLE_TELEMETRY": "1",  # from version 1.29 on, to import ONNX Runtime is to report to its makers
    }
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            [str(interpreter or sys.executable), "-m", f"nin_onnx.runtimes.workers.{module}", str(folder)],
            stdin=subprocess.PIPE,  # it closes when this process ends, and the worker ends with it
            stdout=log,
            stderr=log,
            cwd=folder,  # where a core dump may fall
            env=environment,
            start_new_session=True,  # a group of its own: Ctrl-C reaches this process only, which ends the whole group
        )
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started, whether or not it has ended itself."""
    if os.name == "posix":
        with suppress(ProcessLookupError):  # the group is empty
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    if process.stdin:
        process.stdin.close()
    process.wait()
    deadline = time.monotonic() + PATIENCE
    while next(processes(process.pid), None) and time.monotonic() < deadline:  # what still ends may still write to the folder
        time.sleep(0.01)


def why_ended(status: int, folder: Path) -> str:
    """What the exit status of a worker says, and its last words."""
    if status == 0:
        ending = "the worker ended without a result"
    elif status > 0:
        ending = f"the worker ended with status {status}"
    else:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else f"signal {-status}"
        ending = f"killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")
    return ending + _last_words(folder)


def _last_words(folder: Path) -> str:
    """The last line that the worker printed, ready to follow the reason why it ended."""
    with (folder / LOG).open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - 2000))
        lines = log.read().decode(errors="replace").splitlines()
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"; its last words: {last[:200]}" if last else ""
