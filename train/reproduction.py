"""Trains many runs unattended, several at a time: begins missing ones, resumes interrupted ones, and collects the results.

results/NAME.json        the summary of each run that has ended, as the ledger reads it
results/dead/NAME.json   each training that collapsed
recipes/                 what is trained
runs/NAME/               a run's folder: weights, metrics, the exported graph; until it has ended, its saved state
logs/NAME.log            the output of its training
progress.json            which runs are wanted, running and failed, for `status`
"""

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nin_onnx import atomic, machine
from nin_onnx.errors import NinOnnxError
from nin_onnx.recipe import to_toml
from nin_onnx.results import collapses
from nin_onnx.train import collapse, device, mps, status, stopping
from nin_onnx.train.child import Child
from nin_onnx.train.lock import locked
from nin_onnx.train.running import Echo, RunOptions
from nin_onnx.train.seeds import stage
from nin_onnx.train.task import Task, replace_collapsed
from nin_onnx.train.writable_run import WritableRun

__all__ = ["Options", "Reproduction", "reproduce"]

POLL = 0.2  # seconds between two looks at the processes
TOO_LATE = 30.0  # seconds before the deadline from which nothing is begun: loading the data alone takes that long
GRACE = 60.0  # seconds in which a training that is stopped must finish its step and save
REPORT_EVERY = 60.0  # seconds between two lines on the status of all runs
LOCK_TIMEOUT = 5.0  # seconds: --status holds the lock for a moment


@dataclass
class Reproduction:
    """The outcome of a reproduction."""

    finished: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The summary of each finished run, of now or before, by its name."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why a run did not finish, or could not be exported."""
    dead: dict[str, str] = field(default_factory=dict)
    """Why a training collapsed, now or before, that another seed has replaced."""
    left: list[str] = field(default_factory=list)
    """Runs that were not begun or not finished when it was stopped."""
    stopped: str | None = None
    """Why it was stopped, if it was."""


@dataclass(frozen=True)
class Options:
    """How the runs are trained."""

    jobs: int = 1
    """Trainings at a time."""
    tries: int = 1
    """Seeds that are tried for a run whose trainings collapse."""
    used: Collection[tuple[str, int]] = ()
    """Recipes and seeds that may not replace a collapsed one."""
    export: bool = True
    on: str = "auto"
    data_dir: Path | None = None


def reproduce(tasks: Sequence[Task], folder: Path, options: Options, *, deadline: float, echo: Echo) -> Reproduction:
    """Run `tasks` in `folder`, until all are done, `deadline` by `time.monotonic` has passed, or Ctrl-C or SIGTERM comes.

    Each training is a process of its own: a failure affects its own run only, but a fault of the GPU itself ends all that
    share it through MPS. Called again, it resumes where it was. Raise `NinOnnxError` if another process works in `folder`.
    """
    several = options.jobs > 1 and device.choose(options.on).type == "cuda"
    busy = NinOnnxError(
        f"another nin-onnx reproduce works in '{folder}': see it with --status, stop it first, or choose another --out"
    )
    with locked(folder, busy, LOCK_TIMEOUT), mps.service(echo, wanted=several) as variables:
        work = _Work(tasks, folder, options, {**_threads(options.jobs), **variables}, deadline, echo)
        try:
            with stopping.requested(deadline) as stopped:
                while not stopped() and work.advance():
                    time.sleep(POLL)
                return work.end()
        finally:
            work.kill()


class _Work:
    """The processes that are running, and the outcome of those that have ended."""

    def __init__(
        self, tasks: Sequence[Task], folder: Path, options: Options, variables: Mapping[str, str], deadline: float, echo: Echo
    ) -> None:
        self.tasks, self.folder, self.options, self.variables = tasks, folder, options, variables
        self.deadline, self.echo = deadline, echo
        self.done = Reproduction()
        self.collapses = collapses.read(folder / "results")
        self.training: dict[str, tuple[Task, Child]] = {}
        self.exporting: dict[str, tuple[Task, Child]] = {}
        self.unexported: list[Task] = []
        self.waiting: list[Task] = []
        self.reported = time.monotonic()
        self._plan()

    def advance(self) -> bool:
        """Collect what has ended and begin what there is room for; return whether anything is running."""
        self._collect()
        while self.waiting and len(self.training) < self.options.jobs and time.monotonic() < self.deadline - TOO_LATE:
            self._train(self.waiting.pop(0))
        if self.unexported and not self.exporting and time.monotonic() < self.deadline:
            task = self.unexported.pop(0)
            self.exporting[task.name] = task, self._child(task, "export", str(self._run(task).folder))
        self._report()
        return bool(self.training or self.exporting)

    def end(self) -> Reproduction:
        """Stop what is still running, with all of it saved, and return the outcome."""
        for child in self._running():
            child.stop()
        limit = time.monotonic() + GRACE
        while self._running() and time.monotonic() < limit:
            time.sleep(POLL)
        self.kill()
        self._collect(stopping=True)
        self.done.left = [task.name for task in self._wanted() if task.name not in {**self.done.finished, **self.done.failed}]
        if self.done.left or self.unexported:
            self.done.stopped = "the time is up" if time.monotonic() >= self.deadline - TOO_LATE else "stopped"
        self._report()
        return self.done

    def kill(self) -> None:
        """Kill what is still running."""
        for child in self._running():
            child.kill()

    def _running(self) -> list[Child]:
        return [child for _, child in (*self.training.values(), *self.exporting.values()) if child.status is None]

    def _run(self, task: Task) -> WritableRun:
        return WritableRun(self.folder / "runs" / task.name)

    def _wanted(self) -> list[Task]:
        collapsed = [(one.recipe, one.seed) for one in self.collapses]
        return replace_collapsed(self.tasks, collapsed, self.options.used, self.options.tries)

    def _plan(self) -> None:
        """Decide what is to be trained, the interrupted runs first; collect what ended before."""
        begun: list[Task] = []
        new: list[Task] = []
        for task in self._wanted():
            if task.name in {**self.done.finished, **self.done.failed, **self.training}:
                continue
            try:
                if found := next((one for one in self.collapses if (one.recipe, one.seed) == (task.recipe, task.seed)), None):
                    self._fail(task, found.summary["reason"])
                elif (now := stage(task.recipe, self._run(task).folder)) == "ended":
                    self._finish(task)
                else:
                    (begun if now == "begun" else new).append(task)
            except NinOnnxError as error:
                self._fail(task, str(error))
        self.waiting = begun + new
        here = [one for one in self.collapses if any(one.recipe == task.recipe for task in self.tasks)]
        collapsed = {Task(one.recipe, one.seed).name: one.summary["reason"] for one in here}
        self.done.dead = {name: reason for name, reason in collapsed.items() if name not in self.done.failed}

    def _train(self, task: Task) -> None:
        run = self._run(task)
        limit = time.monotonic() + GRACE
        while run.is_locked() and time.monotonic() < limit:  # if its parent was just killed, it saves and ends
            time.sleep(POLL)
        if stage(task.recipe, run.folder) == "ended":
            self._finish(task)
            return
        if run.state.exists():
            self.echo(f"{task.name} goes on")
            arguments = ["--resume", str(run.folder)]
        else:
            self.echo(f"{task.name} begins")
            recipe = self.folder / "recipes" / f"{task.recipe.name}.toml"
            atomic.write_text(recipe, to_toml(task.recipe))
            arguments = [str(recipe), "--seed", str(task.seed), "--out", str(run.folder)]
        arguments += RunOptions(self.options.data_dir, self.options.on).arguments()
        self.training[task.name] = task, self._child(task, "train", *arguments, "--json")

    def _child(self, task: Task, *arguments: str) -> Child:
        return Child(arguments, self.folder / "logs" / f"{task.name}.log", self.variables)

    def _collect(self, *, stopping: bool = False) -> None:
        """Handle the processes that have ended; when `stopping`, unfinished ones are left for the next time."""
        for name, (task, child) in [*self.training.items()]:
            ended = child.status is not None
            if self.options.jobs == 1:
                for line in child.new_lines():
                    self.echo(line)
            if not ended:
                continue
            del self.training[name]
            if child.status == 0:
                self._finish(task)
            elif described := collapse.reported(child.status, child.output):
                self.collapses.append(collapse.record(self.folder / "results", task.recipe, task.seed, described))
                self.echo(f"{name} collapsed at step {described['step']}")
                self._plan()
            elif not stopping:
                self._fail(task, child.failure())
        for name, (task, child) in [*self.exporting.items()]:
            if child.status is None:
                continue
            del self.exporting[name]
            if child.status == 0:
                self.echo(f"{name} exported")
            elif stopping:
                self.unexported.append(task)
            else:
                self._fail(task, child.failure())

    def _finish(self, task: Task) -> None:
        run = self._run(task)
        try:
            summary = run.summary()
        except NinOnnxError as error:
            self._fail(task, str(error))
            return
        if atomic.write_json(self.folder / "results" / f"{task.name}.json", summary):
            self.echo(f"{task.name} finished")
        self.done.finished[task.name] = summary
        if self.options.export and not (run.folder / "model" / "model.onnx").exists():
            self.unexported.append(task)

    def _fail(self, task: Task, reason: str) -> None:
        self.done.failed[task.name] = " ".join(reason.split())
        self.echo(f"{task.name} failed: {self.done.failed[task.name]}")

    def _report(self) -> None:
        """Write which runs are running, for `status`, and print the status each minute."""
        status.write(self.folder, [task.name for task in self._wanted()], [*self.training], self.done.failed)
        if self.options.jobs > 1 and time.monotonic() - self.reported >= REPORT_EVERY:
            self.reported = time.monotonic()
            self.echo(status.line(status.read(self.folder)))


def _threads(jobs: int) -> dict[str, str]:
    """Share the processor's cores among several trainings, unless the user has set OMP_NUM_THREADS."""
    if jobs == 1 or "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, int(machine.hardware()["cores"]) // jobs))}
