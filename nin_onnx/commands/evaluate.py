"""`nin-onnx eval`: from a model to the verdict on every runtime."""

import os
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nin_onnx.commands.options import FiniteRange, data_dir_option, json_option, print_json
from nin_onnx.data import DATASETS
from nin_onnx.errors import AbsentDataError, MissingExtraError, ModelError
from nin_onnx.runtimes.backends.registry import ON_REQUEST, RUNTIMES
from nin_onnx.runtimes.reports import FORMATS

if TYPE_CHECKING:
    from nin_onnx.data import Dataset
    from nin_onnx.runtimes.model import ModelFile

__all__ = ["evaluate"]


class Interpreter(click.ParamType[tuple[str, Path]]):
    """NAME=PATH."""

    name = "interpreter"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Path]:
        name, _, path = value.partition("=")
        if not os.access(path, os.X_OK) or Path(path).is_dir():
            self.fail(f"'{value}' should be NAME=PATH: a runtime and the Python that has it", param, ctx)
        return name, Path(path).absolute()


def format_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each of `FORMATS`."""
    file = click.Path(dir_okay=False, path_type=Path)
    for name, one in reversed(list(FORMATS.items())):
        command = click.option(f"--{name}", type=file, metavar="FILE", help=one.help)(command)
    return command


@click.command(name="eval")
@click.argument("model", required=False)
@click.option(
    "--dataset",
    metavar="NAME",
    help=f"Data set whose test split measures the error: {', '.join(DATASETS)}.  [default: the card's]",
)
@click.option(
    "--images",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Your own images instead, in a subfolder for each class, named after its label.",
)
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    metavar="NAME",
    help=f"Only this one; may be repeated: {', '.join(RUNTIMES)}.  [default: all but {' and '.join(ON_REQUEST)}]",
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
@format_options
@click.option("--require", "required", multiple=True, metavar="NAME", help="Fail if this runtime is skipped; may be repeated.")
@click.option("--require-reproduced", is_flag=True, help="Fail unless the paper's figure is reached, or missed by noise alone.")
@click.option("--max-error", type=FiniteRange(min=0), metavar="PERCENT", help="Fail above this test error.")
@data_dir_option
@json_option
def evaluate(
    model: str | None, dataset: str | None, images: Path | None, data_dir: Path | None, as_json: bool, **options: Any
) -> int:
    """Judge MODEL on every runtime that is installed: agreement with PyTorch, and the test error beside the paper's.

    MODEL is an ONNX file, a folder with a model.onnx, a run that was exported, or the name of a shipped model (nin-mnist, the
    default, or nin-mnist/int8). Nothing is downloaded; if the data set is not on this machine, the golden vectors next to
    the model alone decide.
    """
    from nin_onnx import models
    from nin_onnx.runtimes import Criteria, EvalOptions, table
    from nin_onnx.runtimes import evaluate as judge
    from nin_onnx.runtimes.read_model import read_model

    if images is not None and dataset is not None:
        raise click.UsageError("--images and --dataset exclude each other: give one")
    files = {name: options.pop(name) for name in FORMATS}
    criteria = Criteria(**{item.name: options.pop(item.name) for item in fields(Criteria)})
    runtimes, interpreters = options.pop("runtimes") or None, dict(options.pop("interpreters"))
    file = read_model(models.find(model or models.DEFAULT))
    tested = _test_images(file, dataset, data_dir) if images is None else _own_images(file, images)
    chosen = EvalOptions(runtimes, tested, interpreters=interpreters, criteria=criteria, progress=_announce, **options)
    report = judge(file, chosen)
    if as_json:
        print_json(report.to_dict())
    else:
        click.echo(table(report))
    for name, target in files.items():  # last: if one cannot be written, nothing is lost
        if target is not None:
            FORMATS[name].write(report, target)
    return report.exit_status


def _own_images(model: "ModelFile", folder: Path) -> "Dataset":
    """Return all images of a folder, brought to the size and the labels of the model's card."""
    from nin_onnx.data.folder import ImageFolder

    card = model.card
    if card is None:
        raise ModelError(
            f"'{model.path}' has no card that tells its labels and how an image becomes its input, so its error on images cannot "
            "be measured: leave --images out, or give a model that nin-onnx export wrote"
        )
    images = ImageFolder(path=folder, height=card.height, width=card.width, channels=card.channels, fit=card.fit)
    return images.load_all(card.labels)


def _test_images(model: "ModelFile", dataset: str | None, data_dir: Path | None) -> "Dataset | None":
    """Return the test images to measure on; None, with a word about it, if the model's own are not on this machine."""
    from nin_onnx.data import load

    if dataset is not None:
        return load(dataset, "test", data_dir)
    trained_on = model.card.dataset.get("name") if model.card else None
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
