"""A nin-onnx command in a process of its own, so that whatever happens to it happens to it alone."""

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
    """The process: what it says goes to the end of a log, what it prints as a result is kept until it has ended."""

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self.printed = ""
        """What it printed on its standard output, when it has ended."""
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - open until then
        with log.open("ab") as said:
            self._read = self._begun = said.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "nin_onnx.train.child", str(os.getpid()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=said,
                env=os.environ | dict(environment),
                start_new_session=True,  # Ctrl-C reaches the parent only, which stops all in order
            )

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        status = self.process.poll()
        if status is not None and not self._output.closed:
            self._output.seek(0)
            self.printed = self._output.read().decode(errors="replace")
            self._output.close()
        return status

    def stop(self) -> None:
        """Ask it to save what it has and to end."""
        self.process.terminate()

    def kill(self) -> None:
        """End it now, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def said(self) -> list[str]:
        """Return the lines that it added to its log since this was asked last."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            *lines, rest = log.read().split(b"\n")
        self._read += sum(len(line) + 1 for line in lines)
        if self.status is not None and rest:
            lines.append(rest)
        return [line.decode(errors="replace") for line in lines]

    def why(self) -> str:
        """Return why it ended, by its exit status and its last words."""
        with self.log.open("rb") as log:
            log.seek(max(self._begun, log.seek(0, os.SEEK_END) - 5_000))
            lines = log.read().decode(errors="replace").split("\n")
        last = click.unstyle(next((line.strip() for line in reversed(lines) if line.strip()), ""))
        status = self.process.returncode
        if status > 0 and last.startswith("error: "):
            return last.removeprefix("error: ")
        ending = f"ended with status {status}" if status >= 0 else f"killed by {_name(-status)}"
        return f"{ending}, see '{self.log}'" + (f"; its last words: {last[:200]}" if last else "")


def _name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _main() -> None:
    """Run the command that follows the number of the parent in the arguments."""
    parent = int(sys.argv.pop(1))
    if sys.platform == "linux":  # then even a parent that is killed leaves nothing behind: its children save and end
        ctypes.CDLL(None).prctl(LINUX_DEATH_SIGNAL, int(signal.SIGTERM))
        if os.getppid() != parent:  # it has ended meanwhile
            sys.exit(128 + signal.SIGTERM)
    runpy.run_module("nin_onnx", run_name="__main__")


if __name__ == "__main__":
    _main()
