"""`nin-onnx reproduce`: what the ledger lacks, run after run, into one folder."""

import math
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nin_onnx.commands.options import FiniteRange, data_dir_option, device_option, json_option, print_json, set_option
from nin_onnx.errors import CheckFailedError, Interrupted, MissingExtraError, UnknownNameError, require

if TYPE_CHECKING:
    from nin_onnx.train.reproduction import Reproduction
    from nin_onnx.train.task import Task

__all__ = ["reproduce"]

LEDGER = Path("results")
TRIES = 4
"""Seeds for a run whose trainings collapse: if so many do, the recipe is at fault."""


@click.command()
@click.argument("recipes", nargs=-1, metavar="[RECIPE]...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/reproduced"),
    show_default=True,
    help="The folder for all of it.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of each recipe.  [default: as nin-onnx results --missing lists]",
)
@click.option(
    "--time-limit",
    type=FiniteRange(min=0, min_open=True),
    metavar="MINUTES",
    help="Stop after this many minutes and save; the last step, its save and a test may take some seconds more.",
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Train N at a time.")
@click.option("--retry-dead", is_flag=True, help="If a training collapses (dead ReLUs), try the next seed, up to 4 for a run.")
@click.option("--status", is_flag=True, help="Print which runs in --out are done, running, dead and left instead; at any time.")
@set_option
@device_option
@data_dir_option
@json_option
def reproduce(
    recipes: tuple[str, ...],
    out: Path,
    seeds: int | None,
    time_limit: float | None,
    jobs: int,
    retry_dead: bool,
    status: bool,
    overrides: tuple[str, ...],
    device: str,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Run what is missing in the ledger (results), the most valuable first, or what is missing of each RECIPE.

    Each training is a process of its own, and what fails does not stop the rest. Ctrl-C, SIGTERM and the end of the time
    stop all of it, saved; the same command goes on where it was, with the interrupted runs first. At any moment the folder
    --out holds all that is finished: in results the files for the ledger, in runs the weights and, if the packages for
    it are installed, the exported graphs; in logs what each training said.

    Several at a time gain little on a CPU, and more on a GPU: NVIDIA's MPS is started for them if it is installed.
    """
    require("training", "train", "torch", "safetensors")
    from nin_onnx.train import process_group, reproduction

    if status:
        _show(out, as_json)
        return
    deadline = time.monotonic() + 60 * time_limit if time_limit else math.inf
    if process_group.launched():
        raise click.UsageError("reproduce starts its own processes; on several GPUs start it on each, with recipes of its own")
    echo = partial(click.echo, err=as_json)
    tasks, used = _owed(recipes, seeds, overrides)
    tries = TRIES if retry_dead else 1
    options = reproduction.Options(jobs, tries, used, export=_can_export(echo), on=device, data_dir=data_dir)
    done = reproduction.reproduce(tasks, out, options, deadline=deadline, echo=echo)
    _conclude(done, out, as_json)


def _can_export(echo: Callable[[str], None]) -> bool:
    try:
        require("export", "train", "onnx", "onnxscript", "onnxsim")
    except MissingExtraError as error:
        echo(f"nothing is exported yet: {error}, then the same command again")
        return False
    return True


def _owed(recipes: tuple[str, ...], seeds: int | None, overrides: tuple[str, ...]) -> "tuple[list[Task], set[tuple[str, int]]]":
    """Return what the ledger lacks, and the seeds that ran or collapsed; with `overrides` the ledger says nothing."""
    from nin_onnx import recipe as known
    from nin_onnx.results import collapses, ledger
    from nin_onnx.results.missing import missing, used
    from nin_onnx.train.task import Task

    for name in recipes:
        if name not in known.shipped():
            raise UnknownNameError("recipe", name, known.shipped())
    is_read = LEDGER.is_dir() and not overrides
    there, dead = (ledger.read(LEDGER), collapses.read(LEDGER)) if is_read else ([], [])
    tasks = [Task(known.load(run.recipe, overrides), run.seed) for run in missing(there, recipes, seeds, dead)]
    return tasks, used(there, dead)


def _show(out: Path, as_json: bool) -> None:
    from nin_onnx.train import status

    statuses = status.read(out)
    if as_json:
        print_json({"folder": str(out), "runs": [vars(one) for one in statuses]})
        return
    click.echo(status.table(statuses, shutil.get_terminal_size().columns))
    for one in statuses:
        if one.reason and one.state != "dead":
            click.echo(f"{one.run}: {one.reason}")
    click.echo(status.line(statuses))


def _conclude(done: "Reproduction", out: Path, as_json: bool) -> None:
    """Print how far it came; what failed or was stopped becomes the exit status."""
    if as_json:
        print_json({"folder": str(out), **vars(done)})
    else:
        _show(out, as_json)
        click.echo(f"{len(done.finished)} finished, {len(done.failed)} failed, {len(done.left)} left; all of it is in {out}")
    if done.stopped:
        raise Interrupted(f"{done.stopped}; runs that are left: {len(done.left)}; the same command goes on")
    if done.failed:
        raise CheckFailedError(f"failed: {', '.join(done.failed)}")
