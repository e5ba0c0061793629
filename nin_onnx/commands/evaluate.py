"""`nin-onnx eval`: from a model to the verdict on every runtime."""

import os
import sys
from pathlib import Path

import click

from nin_onnx import atomic
from nin_onnx.commands.options import FiniteRange, data_dir_option, json_option, print_json
from nin_onnx.data import DATASETS, Dataset
from nin_onnx.errors import AbsentDataError, MissingExtraError, ModelError
from nin_onnx.runtimes.backends.registry import RUNTIMES, runtime

__all__ = ["evaluate"]

ASKED_FOR = [name for name in RUNTIMES if not runtime(name).by_default]
FILE = click.Path(dir_okay=False, path_type=Path)


class Interpreter(click.ParamType[tuple[str, Path]]):
    """NAME=PATH."""

    name = "interpreter"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Path]:
        name, _, path = value.partition("=")
        if not os.access(path, os.X_OK) or Path(path).is_dir():
            self.fail(f"'{value}' should be NAME=PATH: a runtime and the Python that has it", param, ctx)
        return name, Path(path).absolute()


@click.command(name="eval", short_help="Judge a model on every runtime that is installed.")
@click.argument("model", required=False)
@click.option(
    "--dataset", metavar="NAME", help=f"Whose test images to measure the error on: {', '.join(DATASETS)}.  [default: the card's]"
)
@click.option(
    "--images",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Your own images instead, in a sub-folder for each class, which bears its label.",
)
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    metavar="NAME",
    help=f"Only this one; may be repeated: {', '.join(RUNTIMES)}.  [default: all but {' and '.join(ASKED_FOR)}]",
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N test images.  [default: all; reference: 1000]"
)
@click.option("--batch", type=click.IntRange(min=1), default=128, show_default=True, help="Images that are run at once.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of each runtime.  [default: all cores]")
@click.option("--time-limit", type=FiniteRange(min=1), default=600.0, show_default=True, help="Seconds for one runtime.")
@click.option(
    "--python",
    "interpreters",
    type=Interpreter(),
    multiple=True,
    metavar="NAME=PATH",
    help="Another Python for a runtime that needs its own packages; may be repeated.",
)
@click.option("--require", multiple=True, metavar="NAME", help="Fail where this runtime is skipped; may be repeated.")
@click.option(
    "--tolerance",
    type=FiniteRange(min=0, min_open=True),
    metavar="X",
    help="Largest difference allowed.  [default: by precision]",
)
@click.option(
    "--repro",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write what it takes to see each failure again: model, inputs, both outputs, versions.",
)
@click.option(
    "--bench", is_flag=True, help="Time the runtimes too, in turns: latency alone, throughput in batches of 32 and 128."
)
@click.option("--junit", type=FILE, metavar="FILE", help="Write JUnit XML too: a case for each runtime and check.")
@click.option("--markdown", "summary", type=FILE, metavar="FILE", help="Write Markdown too, as for the summary of a CI job.")
@click.option("--require-reproduced", is_flag=True, help="Fail unless the paper's figure is reached, or missed by noise alone.")
@click.option("--max-error", type=FiniteRange(min=0), metavar="PERCENT", help="Fail above this test error.")
@data_dir_option
@json_option
def evaluate(
    model: str | None,
    dataset: str | None,
    images: Path | None,
    runtimes: tuple[str, ...],
    limit: int | None,
    batch: int,
    threads: int | None,
    time_limit: float,
    interpreters: tuple[tuple[str, Path], ...],
    require: tuple[str, ...],
    tolerance: float | None,
    repro: Path | None,
    bench: bool,
    junit: Path | None,
    summary: Path | None,
    require_reproduced: bool,
    max_error: float | None,
    data_dir: Path | None,
    as_json: bool,
) -> int:
    """Judge MODEL on every runtime that is installed: agreement with PyTorch, and the test error beside the paper's.

    MODEL is an ONNX file, a folder with a model.onnx, a run that was exported, or the name of a shipped model (nin-mnist, the
    default, or nin-mnist/int8). Nothing is downloaded; where the data set is not on this machine, the golden vectors beside
    the model alone decide.
    """
    from nin_onnx import models
    from nin_onnx.runtimes import evaluate as run_all
    from nin_onnx.runtimes import table
    from nin_onnx.runtimes.reports.junit import junit as junit_text
    from nin_onnx.runtimes.reports.markdown import markdown as markdown_text

    if images is not None and dataset is not None:
        raise click.UsageError("--images and --dataset exclude each other: give one")
    file = models.find(model or models.DEFAULT)
    tested = _test_images(file, dataset, data_dir) if images is None else _own_images(file, images)
    report = run_all(
        file,
        runtimes=runtimes or None,
        dataset=tested,
        limit=limit,
        batch=batch,
        threads=threads,
        time_limit=time_limit,
        interpreters=dict(interpreters),
        require=require,
        tolerance=tolerance,
        repro=repro,
        speed=bench,
        progress=_announce,
    )
    status = report.exit_status(require_reproduced=require_reproduced, max_error=max_error)
    if as_json:
        print_json({**report.to_dict(), "exit_status": status})
    else:
        click.echo(table(report, require_reproduced=require_reproduced, max_error=max_error))
    for path, text in ((junit, junit_text), (summary, markdown_text)):  # last: where one cannot be written, nothing is lost
        if path is not None:
            atomic.write_text(path, text(report, require_reproduced=require_reproduced, max_error=max_error))
    return status


def _own_images(model: Path, folder: Path) -> Dataset:
    """All images of a folder, brought to the size and the labels that the model's card tells."""
    from nin_onnx.data.folder import ImageFolder
    from nin_onnx.runtimes.model import read_model

    card = read_model(model).card
    if card is None:
        raise ModelError(
            f"'{model}' has no card that tells its labels and how an image becomes its input, so its error on images cannot be "
            "measured: leave --images out, or give a model that nin-onnx export wrote"
        )
    images = ImageFolder(path=folder, height=card.height, width=card.width, channels=card.channels, fit=card.fit)
    return images.load_all(card.labels)


def _test_images(model: Path, dataset: str | None, data_dir: Path | None) -> Dataset | None:
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
