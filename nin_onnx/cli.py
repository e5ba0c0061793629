"""The commands: parse, call, print. Every error becomes one line and an exit status here, and nowhere else."""

import json
import sys
import traceback
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from nin_onnx import __version__
from nin_onnx.data import DATASETS, UnofficialDataWarning
from nin_onnx.errors import AbsentDataError, Interrupted, MissingExtraError, NinOnnxError, UnknownNameError, require
from nin_onnx.runtimes.registry import RUNTIMES

__all__ = ["cli", "main"]

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the data sets; else NIN_ONNX_DATA, else the user's cache folder.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="nin-onnx")
@click.option("--debug", is_flag=True, expose_value=False, help="Show where an error came from.")
def cli() -> None:
    """Train Network in Network, export it as one ONNX file, and see that it gives the same answer on every runtime.

    \b
    nin-onnx train digits               a small network, in a minute
    nin-onnx export runs/digits-seed0   one ONNX file, checked
    nin-onnx eval runs/digits-seed0     the verdict

    Exit status: 0 all that was asked for passed; 1 a check failed, or a runtime crashed or timed out; 2 wrong usage, or
    nothing could run; 130 interrupted.
    """


@cli.command(short_help="Train a recipe into a run folder.")
@click.argument("recipe", required=False)
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with an interrupted run instead.")
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder.  [default: runs/RECIPE-seedN]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Of every random choice.  [default: 0]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a recipe's key: train.epochs=40.")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto: CUDA where there is one.",
)
@data_dir_option
@json_option
def train(
    recipe: str | None,
    resume: Path | None,
    out: Path | None,
    seed: int | None,
    overrides: tuple[str, ...],
    device: str,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Train RECIPE, a shipped name (digits, mnist) or a TOML file, into a run folder.

    Data that is not on this machine is downloaded first. With train.validation=N the last N training images are held out and
    the test set is left alone; otherwise it is looked at once, at the end.
    """
    require("training", "train", "torch", "safetensors")
    from nin_onnx.train import recipe as recipes
    from nin_onnx.train import trainer

    def echo(line: str) -> None:
        click.echo(line, err=as_json)

    if resume is not None:
        if recipe or overrides or out or seed is not None:
            raise click.UsageError("--resume takes its recipe and seed from the run: give none of these with it")
        folder = resume
        summary = trainer.resume(folder, data_dir=data_dir, on=device, echo=echo)
    elif recipe is None:
        raise click.UsageError(f"which recipe? shipped are {', '.join(recipes.shipped())}; a path to a .toml file works too")
    else:
        resolved = recipes.load(recipe, overrides)
        folder = out or Path("runs") / f"{resolved.name}-seed{seed or 0}"
        summary = trainer.train(resolved, folder, seed=seed or 0, data_dir=data_dir, on=device, echo=echo)
    if as_json:
        _print_json({"folder": str(folder), **summary})
    else:
        click.echo(_trained(summary))
        click.echo(f"next: nin-onnx export {folder}")


@cli.command(short_help="Export a run as one ONNX file that takes raw pixels.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The model's folder.  [default: RUN/model]")
@json_option
def export(run: Path, out: Path | None, as_json: bool) -> None:
    """Export the trained network in the folder RUN as one ONNX file that takes raw pixels.

    The graph is simplified, and checked against PyTorch in float64; where they differ, no file is written.
    """
    from nin_onnx.export import export_run

    result = export_run(run, out)
    if as_json:
        passes = [asdict(one) for one in result.passes]
        _print_json({"model": str(result.model), "bytes": result.size, "passes": passes, "card": asdict(result.card)})
        return
    for one in result.passes:
        click.echo(f"{one.name:<20} {'changed' if one.changed else 'no change':<10} {one.nodes_before} → {one.nodes_after} nodes")
    click.echo(f"{result.model}  {result.size / 1e6:.2f} MB, checked against PyTorch in float64")
    click.echo(f"next: nin-onnx eval {result.model.parent}")


@cli.command(name="eval", short_help="Judge a model on every runtime that is installed.")
@click.argument("model", required=False)
@click.option(
    "--dataset", metavar="NAME", help=f"Whose test images to measure the error on: {', '.join(DATASETS)}.  [default: the card's]"
)
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    metavar="NAME",
    help=f"Only this one; may be repeated: {', '.join(RUNTIMES)}.  [default: all]",
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N test images.  [default: all; reference: 1000]"
)
@click.option("--batch", type=click.IntRange(min=1), default=128, show_default=True, help="Images that are run at once.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of each runtime.  [default: all cores]")
@click.option("--time-limit", type=click.FloatRange(min=1), default=600.0, show_default=True, help="Seconds for one runtime.")
@click.option("--require-reproduced", is_flag=True, help="Fail unless the paper's figure is reached, or missed by noise alone.")
@click.option("--max-error", type=click.FloatRange(min=0), metavar="PERCENT", help="Fail above this test error.")
@data_dir_option
@json_option
def evaluate(
    model: str | None,
    dataset: str | None,
    runtimes: tuple[str, ...],
    limit: int | None,
    batch: int,
    threads: int | None,
    time_limit: float,
    require_reproduced: bool,
    max_error: float | None,
    data_dir: Path | None,
    as_json: bool,
) -> int:
    """Judge MODEL on every runtime that is installed: agreement with PyTorch, and the test error beside the paper's.

    MODEL is an ONNX file, a folder with a model.onnx, a run that was exported, or the name of a shipped model (nin-mnist,
    the default). Nothing is downloaded; where the data set is not on this machine, the golden vectors beside the model
    alone decide.
    """
    from nin_onnx import models
    from nin_onnx.runtimes import evaluate as run_all
    from nin_onnx.runtimes import table

    file = models.find(model or models.DEFAULT)
    images = _test_images(file, dataset, data_dir)
    report = run_all(
        file,
        runtimes=runtimes or None,
        dataset=images,
        limit=limit,
        batch=batch,
        threads=threads,
        time_limit=time_limit,
        progress=_announce,
    )
    status = report.exit_status(require_reproduced=require_reproduced, max_error=max_error)
    if as_json:
        _print_json({**report.to_dict(), "exit_status": status})
    else:
        click.echo(table(report, require_reproduced=require_reproduced, max_error=max_error))
    return status


@cli.command(short_help="Print the table of finished runs.")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("results"))
@json_option
def results(folder: Path, as_json: bool) -> None:
    """Print the table of the finished runs whose summary.json lies in FOLDER (by default: results), as Markdown."""
    from nin_onnx.results import read, table

    summaries = read(folder)
    if as_json:
        _print_json({"results": summaries})
    else:
        click.echo(table(summaries))


@cli.command(short_help="Download and check data sets.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@data_dir_option
@json_option
def data(names: tuple[str, ...], data_dir: Path | None, as_json: bool) -> None:
    """Download the data sets NAME where they are absent, and check them; without a NAME, check those that are there."""
    from nin_onnx.data import download, load

    for name in names:
        if name not in DATASETS:
            raise UnknownNameError("data set", name, DATASETS)
    found: dict[str, list[dict[str, Any]]] = {}
    for name in names or DATASETS:
        if names:
            download(name, data_dir)
        try:
            found[name] = [load(name, split, data_dir).describe() for split in ("train", "test")]
        except (AbsentDataError, MissingExtraError):
            if names:
                raise
            found[name] = []
    if as_json:
        _print_json({"datasets": found})
        return
    for name, splits in found.items():
        parts = [f"{part['images']:,} {part['split']} images, {part['provenance']}" for part in splits]
        click.echo(f"{name:<8}  {'; '.join(parts) or f'absent: nin-onnx data {name}'}")


def main() -> None:
    """Run a command, print what goes wrong as one line, and exit with the status that `nin-onnx --help` lists."""
    sys.exit(_run())


def _run() -> int:
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]  # it is right anywhere: one adds it at the end
    try:
        with warnings.catch_warnings():
            if not debug:  # warnings of other packages tell a user nothing
                warnings.simplefilter("ignore")
            warnings.simplefilter("always", UnofficialDataWarning)
            warnings.showwarning = _show_warning
            return cli.main(arguments, standalone_mode=False, prog_name="nin-onnx") or 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        return _fail(f"{error.format_message()}{hint}", 2, debug)
    except (click.Abort, KeyboardInterrupt):
        return _fail("stopped", Interrupted.exit_status, debug)
    except NinOnnxError as error:
        return _fail(str(error), error.exit_status, debug)
    except OSError as error:  # the disk is full, a folder may not be read, a name is too long
        return _fail(str(error), 2, debug)
    except Exception as error:  # a fault of ours: still one line, and the way to the rest
        return _fail(f"internal error, please report it with the output of --debug: {type(error).__name__}: {error}", 2, debug)


def _fail(message: str, status: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    click.echo(f"{click.style('error:', fg='red')} {' '.join(message.split())}", err=True)
    return status


def _show_warning(message: Warning | str, *where: Any, **more: Any) -> None:
    click.echo(f"{click.style('warning:', fg='yellow')} {message}", err=True)


def _test_images(model: Path, dataset: str | None, data_dir: Path | None) -> Any:
    """The test images to measure on; None, with a word about it, where the model's own are not on this machine."""
    from nin_onnx.data import load
    from nin_onnx.runtimes.model import read_model

    if dataset is not None:
        return load(dataset, "test", data_dir)
    card = read_model(model).card
    trained_on = card.dataset.get("name") if card else None
    if trained_on is None or trained_on not in DATASETS:
        return None
    try:
        return load(trained_on, "test", data_dir)
    except (AbsentDataError, MissingExtraError) as error:
        click.echo(f"no test error without the test images: {error}", err=True)
        return None


def _announce(runtime: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"{runtime} …", err=True)


def _trained(summary: dict[str, Any]) -> str:
    minutes = summary["seconds"] / 60
    cost = f"{summary['epochs']} epochs in {minutes:.1f} min, {summary['images_per_second']:,.0f} images/s"
    if "test" not in summary:
        return f"validation error {summary['validation_error']:.2f} %, {cost}; the test set was not looked at"
    test = summary["test"]
    copy = "" if test["provenance"] == "official" else f" ({test['provenance']})"
    return (
        f"test error {test['error']:.2f} % [{test['low']:.2f}, {test['high']:.2f}], "
        f"{test['errors']} of {test['images']:,} images of {test['name']}{copy}; {cost}"
    )


def _print_json(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))
