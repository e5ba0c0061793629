"""Run after run, unattended, several at a time: what is missing is trained, what was interrupted goes on, all is collected.

results/NAME.json        the summary of each run that has ended, as the ledger reads it
results/dead/NAME.json   each network that died
recipes/                 what is trained
runs/NAME/               a run's folder: weights, metrics, the exported graph; until it has ended, what it goes on from
logs/NAME.log            what its training said
progress.json            what is wanted, running and failed (`standing` makes a table of it)
"""

import json
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nin_onnx import atomic, machine
from nin_onnx.errors import CheckFailedError, NinOnnxError
from nin_onnx.recipe import to_toml
from nin_onnx.results import collapses
from nin_onnx.train import device, mps, stopping
from nin_onnx.train import status as standing
from nin_onnx.train.child import Child
from nin_onnx.train.collapse import record
from nin_onnx.train.seeds import how_far
from nin_onnx.train.task import Task, replaced
from nin_onnx.train.under_way import Echo, RunOptions
from nin_onnx.train.writable_run import WritableRun

__all__ = ["Options", "Reproduction", "reproduce"]

POLL = 0.2  # seconds between two looks at the processes
TOO_LATE = 30.0  # seconds before the deadline from which nothing is begun: to load the data alone takes so long
GRACE = 60.0  # seconds in which a training that is stopped has to do its step and to save
TELL_EVERY = 60.0  # seconds between two lines on where all of it is


@dataclass
class Reproduction:
    """How far it came."""

    finished: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The summary of each run that has ended, now or before, by its name."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why a run did not end, or could not be exported."""
    dead: dict[str, str] = field(default_factory=dict)
    """Of what a network died, now or before, whose place another seed took."""
    left: list[str] = field(default_factory=list)
    """Runs that were not begun or not ended when it was stopped."""
    stopped: str | None = None
    """By what, where it was."""


@dataclass(frozen=True)
class Options:
    """How the runs are trained."""

    jobs: int = 1
    """Trainings at a time."""
    tries: int = 1
    """Seeds that are tried for a run whose networks die."""
    used: Collection[tuple[str, int]] = ()
    """Recipes and seeds that are not tried in place of a dead one."""
    export: bool = True
    on: str = "auto"
    data_dir: Path | None = None


def reproduce(tasks: Sequence[Task], folder: Path, options: Options, *, deadline: float, echo: Echo) -> Reproduction:
    """Do `tasks` in `folder`, until all are done, `deadline` by `time.monotonic` has come, or Ctrl-C or SIGTERM.

    Each training is a process of its own: one that fails costs its own run only, but a fault of the GPU itself ends all that
    share it through MPS. Called again, all goes on where it was. Raises `NinOnnxError` if another process works in `folder`.
    """
    several = options.jobs > 1 and device.choose(options.on).type == "cuda"
    with standing.locked(folder), mps.served(echo, wanted=several) as variables:
        work = _Work(tasks, folder, options, {**_threads(options.jobs), **variables}, deadline, echo)
        try:
            with stopping.asked(deadline) as stopped:
                while not stopped() and work.goes_on():
                    time.sleep(POLL)
                return work.end()
        finally:
            work.kill()


class _Work:
    """The processes that run now, and what has come of those that have ended."""

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
        self.told = time.monotonic()
        self._plan()

    def goes_on(self) -> bool:
        """Collect what has ended and begin what there is room for; return whether anything runs."""
        self._collect()
        while self.waiting and len(self.training) < self.options.jobs and time.monotonic() < self.deadline - TOO_LATE:
            self._train(self.waiting.pop(0))
        if self.unexported and not self.exporting and time.monotonic() < self.deadline:
            task = self.unexported.pop(0)
            self.exporting[task.name] = task, self._child(task, "export", str(self._run(task).folder))
        self._tell()
        return bool(self.training or self.exporting)

    def end(self) -> Reproduction:
        """Stop what still runs, with all of it saved, and return how far it came."""
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
        self._tell()
        return self.done

    def kill(self) -> None:
        """End whatever still runs, at once."""
        for child in self._running():
            child.kill()

    def _running(self) -> list[Child]:
        return [child for _, child in (*self.training.values(), *self.exporting.values()) if child.status is None]

    def _run(self, task: Task) -> WritableRun:
        return WritableRun(self.folder / "runs" / task.name)

    def _wanted(self) -> list[Task]:
        dead = [(collapse.recipe, collapse.seed) for collapse in self.collapses]
        return replaced(self.tasks, dead, self.options.used, self.options.tries)

    def _plan(self) -> None:
        """Find out what is to be trained, the interrupted runs first; collect what has ended before."""
        begun: list[Task] = []
        new: list[Task] = []
        for task in self._wanted():
            if task.name in {**self.done.finished, **self.done.failed, **self.training}:
                continue
            try:
                if collapse := next((one for one in self.collapses if (one.recipe, one.seed) == (task.recipe, task.seed)), None):
                    self._fail(task, collapse.summary["reason"])
                elif (far := how_far(task.recipe, self._run(task).folder)) == "ended":
                    self._finish(task)
                else:
                    (begun if far == "begun" else new).append(task)
            except NinOnnxError as error:
                self._fail(task, str(error))
        self.waiting = begun + new
        here = [collapse for collapse in self.collapses if any(collapse.recipe == task.recipe for task in self.tasks)]
        dead = {f"{collapse.recipe.name}-seed{collapse.seed}": collapse.summary["reason"] for collapse in here}
        self.done.dead = {name: reason for name, reason in dead.items() if name not in self.done.failed}

    def _train(self, task: Task) -> None:
        run = self._run(task)
        limit = time.monotonic() + GRACE
        while run.busy() and time.monotonic() < limit:  # its parent was killed a moment ago: it saves and ends
            time.sleep(POLL)
        if how_far(task.recipe, run.folder) == "ended":
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
        typed = RunOptions(self.options.data_dir, self.options.on).typed()
        child = self._child(task, "train", *arguments, *typed, "--json")
        self.training[task.name] = task, child

    def _child(self, task: Task, *arguments: str) -> Child:
        return Child(arguments, self.folder / "logs" / f"{task.name}.log", self.variables)

    def _collect(self, *, stopping: bool = False) -> None:
        """See to the processes that have ended; when `stopping`, what did not finish is left for the next time."""
        for name, (task, child) in [*self.training.items()]:
            ended = child.status is not None
            if self.options.jobs == 1:
                for line in child.said():
                    self.echo(line)
            if not ended:
                continue
            del self.training[name]
            if child.status == 0:
                self._finish(task)
            elif died := _died(child):
                self.collapses.append(record(self.folder / "results", task.recipe, task.seed, died))
                self.echo(f"{name} died at step {died['step']}")
                self._plan()
            elif not stopping:
                self._fail(task, child.why())
        for name, (task, child) in [*self.exporting.items()]:
            if child.status is None:
                continue
            del self.exporting[name]
            if child.status == 0:
                self.echo(f"{name} exported")
            elif stopping:
                self.unexported.append(task)
            else:
                self._fail(task, child.why())

    def _finish(self, task: Task) -> None:
        run = self._run(task)
        try:
            summary = run.summary()
        except NinOnnxError as error:
            self._fail(task, str(error))
            return
        text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
        file = self.folder / "results" / f"{task.name}.json"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            atomic.write_text(file, text)
            self.echo(f"{task.name} finished")
        self.done.finished[task.name] = summary
        if self.options.export and not (run.folder / "model" / "model.onnx").exists():
            self.unexported.append(task)

    def _fail(self, task: Task, reason: str) -> None:
        self.done.failed[task.name] = " ".join(reason.split())
        self.echo(f"{task.name} failed: {self.done.failed[task.name]}")

    def _tell(self) -> None:
        """Let others see where it is, and say it each minute."""
        standing.write(self.folder, [task.name for task in self._wanted()], [*self.training], self.done.failed)
        if self.options.jobs > 1 and time.monotonic() - self.told >= TELL_EVERY:
            self.told = time.monotonic()
            self.echo(standing.line(standing.read(self.folder)))


def _died(child: Child) -> dict[str, Any] | None:
    """What a training says of the collapse of its network."""
    try:
        died = json.loads(child.printed)["died"] if child.status == CheckFailedError.exit_status else None
    except (ValueError, KeyError):
        return None
    return died if isinstance(died, dict) else None


def _threads(jobs: int) -> dict[str, str]:
    """Share the processor's cores among several trainings, unless the user has done so."""
    if jobs == 1 or "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, int(machine.hardware()["cores"]) // jobs))}
