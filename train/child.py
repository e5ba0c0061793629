"""A nin-onnx command in a process of its own, whose failure affects nothing else."""

import ctypes
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

__all__ = ["Child"]

LINUX_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2)."""


class Child:
    """The process: its error stream is appended to a log, its standard output is kept."""

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self.output = ""
        """Its standard output, once it has ended."""
        self._stdout = tempfile.TemporaryFile()  # noqa: SIM115 - open until it has ended
        with log.open("ab") as stderr:
            self._read = self._begun = stderr.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "nin_onnx.train.child", str(os.getpid()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=self._stdout,
                stderr=stderr,
                env=os.environ | dict(environment),
                start_new_session=True,  # Ctrl-C reaches the parent only, which stops its children in order
            )

    @property
    def status(self) -> int | None:
        """Its exit status; None while it is running."""
        status = self.process.poll()
        if status is not None and not self._stdout.closed:
            self._stdout.seek(0)
            self.output = self._stdout.read().decode(errors="replace")
            self._stdout.close()
        return status

    def stop(self) -> None:
        """Ask it to save and to end."""
        self.process.terminate()

    def kill(self) -> None:
        """Kill it, and wait until it has ended."""
        self.process.kill()
        self.process.wait()

    def new_lines(self) -> list[str]:
        """Return the lines that it has added to its log since the last call."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            *lines, rest = log.read().split(b"\n")
        self._read += sum(len(line) + 1 for line in lines)
        if self.status is not None and rest:
            lines.append(rest)
        return [line.decode(errors="replace") for line in lines]

    def failure(self) -> str:
        """Return why it ended: its exit status and its last line."""
        with self.log.open("rb") as log:
            log.seek(max(self._begun, log.seek(0, os.SEEK_END) - 5_000))
            lines = log.read().decode(errors="replace").split("\n")
        last = click.unstyle(next((line.strip() for line in reversed(lines) if line.strip()), ""))
        status = self.process.returncode
        if status > 0 and last.startswith("error: "):
            return last.removeprefix("error: ")
        ending = f"ended with status {status}" if status >= 0 else f"killed by {_signal_name(-status)}"
        return f"{ending}, see '{self.log}'" + (f"; its last line: {last[:200]}" if last else "")


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _main() -> None:
    """Run the command that follows the number of the parent in the arguments."""
    parent = int(sys.argv.pop(1))
    if sys.platform == "linux":  # if the parent is killed, its children save and end too
        ctypes.CDLL(None).prctl(LINUX_DEATH_SIGNAL, int(signal.SIGTERM))
        if os.getppid() != parent:  # the parent has ended meanwhile
            sys.exit(128 + signal.SIGTERM)
    runpy.run_module("nin_onnx", run_name="__main__")


if __name__ == "__main__":
    _main()
