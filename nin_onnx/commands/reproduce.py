"""`nin-onnx reproduce`: what the ledger lacks, run after run, into one folder."""

import math
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nin_onnx.commands.options import FiniteRange, data_dir_option, device_option, json_option, print_json, set_option
from nin_onnx.errors import CheckFailedError, Interrupted, MissingExtraError, UnknownNameError, require

if TYPE_CHECKING:
    from nin_onnx.train.reproduction import Reproduction, Task

__all__ = ["reproduce"]

LEDGER = Path("results")


@click.command(short_help="Run what the ledger lacks, unattended.")
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
    help="Stop then, with everything saved; the last step, its save and a test may take some seconds more.",
)
@set_option
@device_option
@data_dir_option
@json_option
def reproduce(
    recipes: tuple[str, ...],
    out: Path,
    seeds: int | None,
    time_limit: float | None,
    overrides: tuple[str, ...],
    device: str,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Run what is missing in the ledger (results), the most valuable first, or what is missing of each RECIPE.

    What fails does not stop the rest. The same command, given again after whatever stopped it, goes on where it was. At
    any moment the folder --out holds all that is finished: in results the files for the ledger, in runs the weights and,
    where the packages for it are installed, the exported graphs; and what an interrupted run goes on from.
    """
    require("training", "train", "torch", "safetensors")
    from nin_onnx.train import reproduction, team

    deadline = time.monotonic() + 60 * time_limit if time_limit else math.inf
    if team.launched():
        raise click.UsageError("reproduce runs in one process; on several GPUs start it on each, with recipes of its own")

    def echo(line: str) -> None:
        click.echo(line, err=as_json)

    def export(run: Path) -> None:
        if (run / "model" / "model.onnx").exists():
            return
        try:
            require("export", "train", "onnx", "onnxscript", "onnxsim")
        except MissingExtraError as error:
            echo(f"not exported yet: {error}, then nin-onnx export {shlex.quote(str(run))}")
            return
        from nin_onnx.export import export_run

        echo(str(export_run(run).model))

    tasks = _tasks(recipes, seeds, overrides, out)
    done = reproduction.reproduce(tasks, out, export=export, deadline=deadline, echo=echo, on=device, data_dir=data_dir)
    _conclude(done, out, as_json)


def _tasks(recipes: tuple[str, ...], seeds: int | None, overrides: tuple[str, ...], out: Path) -> "list[Task]":
    """What the ledger lacks; what is in `out` is listed too, since its export may be missing."""
    from nin_onnx.train import ledger
    from nin_onnx.train import recipe as known
    from nin_onnx.train.reproduction import Task

    for name in recipes:
        if name not in known.shipped():
            raise UnknownNameError("recipe", name, known.shipped())
    there = ledger.read(LEDGER) if LEDGER.is_dir() and not overrides else []  # whose runs are those of the recipes as they are
    return [Task(known.load(run.recipe, overrides), run.seed) for run in ledger.missing(there, recipes, seeds)]


def _conclude(done: "Reproduction", out: Path, as_json: bool) -> None:
    """Tell how far it came; what failed or was stopped becomes the exit status."""
    if as_json:
        print_json({"folder": str(out), **vars(done)})
    else:
        for name, summary in done.finished.items():
            kind = "test" if "test" in summary else "validation"
            error = summary["test"]["error"] if "test" in summary else summary["validation_error"]
            click.echo(f"finished  {name}: {kind} error {error:.2f} %, {summary['seconds'] / 60:.1f} min")
        for name, reason in done.failed.items():
            click.echo(f"failed    {name}: {reason}")
        for name in done.left:
            click.echo(f"left      {name}")
        click.echo(f"{len(done.finished)} finished, {len(done.failed)} failed, {len(done.left)} left; all of it is in {out}")
    if done.stopped:
        raise Interrupted(f"{done.stopped}; runs that are left: {len(done.left)}; the same command goes on")
    if done.failed:
        raise CheckFailedError(f"failed: {', '.join(done.failed)}")
