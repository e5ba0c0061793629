"""`nin-onnx predict`: the labels of images, and where in them the classes were seen."""

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from nin_onnx.commands.options import json_option, print_json
from nin_onnx.errors import NinOnnxError
from nin_onnx.fit import Fit
from nin_onnx.printable import printable

if TYPE_CHECKING:
    from nin_onnx.classifier import Classifier, Prediction

__all__ = ["predict"]


def _numbers(context: click.Context, parameter: click.Parameter, value: str | None) -> float | list[float] | None:
    """Read one number, or one for each channel: `0.5`, `1/255`, `0.485,0.456,0.406`."""
    if value is None:
        return None
    try:
        found = [float(Fraction(part.strip())) for part in value.split(",")]
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise click.BadParameter(f"'{value}': expected one number, or one for each channel, as in 0.485,0.456,0.406") from error
    return found if len(found) > 1 else found[0]


@click.command()
@click.argument("model")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(path_type=Path))
@click.option("--top", default=5, show_default=True, type=click.IntRange(min=1), help="Labels for each image.")
@click.option(
    "--maps",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for a PNG of each image with its class maps drawn over it.",
)
@click.option("--labels", type=click.Path(path_type=Path), help="A file with a label on each line, for models without a card.")
@click.option(
    "--scale",
    callback=_numbers,
    help="Input scaling for models without built-in preprocessing: (pixel · scale - mean) / std; 1/255, for instance.",
)
@click.option("--mean", callback=_numbers, help="Mean: one number, or one for each channel, as in 0.485,0.456,0.406.")
@click.option("--std", callback=_numbers, help="Standard deviation, in the same format as --mean.")
@click.option(
    "--size",
    nargs=2,
    type=click.IntRange(min=1),
    metavar="HEIGHT WIDTH",
    help="Input size for models with dynamic height and width.  [default: the card's]",
)
@click.option("--fit", type=click.Choice(get_args(Fit)), help="How images are resized to the input size.  [default: the card's]")
@click.option("--provider", "providers", multiple=True, help="ONNX Runtime's, the preferred one first.  [default: the CPU's]")
@click.option("--threads", type=click.IntRange(min=1), help="Threads to compute with.  [default: one for each core]")
@json_option
def predict(
    model: str,
    images: tuple[Path, ...],
    top: int,
    maps: Path | None,
    labels: Path | None,
    scale: float | list[float] | None,
    mean: float | list[float] | None,
    std: float | list[float] | None,
    size: tuple[int, int] | None,
    fit: Fit | None,
    providers: tuple[str, ...],
    threads: int | None,
    as_json: bool,
) -> None:
    """Print the most probable labels of each IMAGE, by MODEL.

    MODEL is a shipped name, an .onnx file, a model's folder or an exported run. With --maps, the class maps of those labels are
    drawn over the image as in the paper's Figure 4: of each map the top 10 % of its activations.
    """
    from nin_onnx.classifier import Classifier, Scaling

    scaling = Scaling(scale=scale, mean=mean, std=std)
    asked = providers or ("CPUExecutionProvider",)
    classifier = Classifier(model, labels=_read_labels(labels), size=size, fit=fit, providers=asked, threads=threads, **scaling)
    targets = _targets(images, maps) if maps else [None] * len(images)
    found = []
    for image, target, prediction in zip(images, targets, _answers(classifier, images), strict=True):
        if target:
            _draw(target, classifier, image, prediction, top)
        found.append(_plain(image, target, prediction, top))
        if not as_json:
            _print(str(image), prediction.top(top), max(map(len, map(str, images))))
    if as_json:
        print_json({"model": str(classifier.path), "predictions": found})


def _plain(image: Path, target: Path | None, prediction: "Prediction", top: int) -> dict[str, Any]:
    """Return a prediction for JSON."""
    plain = {
        "image": str(image),
        "label": prediction.label,
        "probability": prediction.probability,
        "top": [{"label": label, "probability": probability} for label, probability in prediction.top(top)],
    }
    return {**plain, "maps": str(target)} if target else plain


def _answers(classifier: "Classifier", images: Sequence[Path]) -> "Iterator[Prediction]":
    """Yield the predictions one after another, so that the first are there before the last are read."""
    from nin_onnx.classifier import BATCH

    waiting = iter(images)
    while some := list(islice(waiting, BATCH)):
        yield from classifier.batch(some)


def _print(name: str, best: list[tuple[str, float]], width: int) -> None:
    label_width = max(len(label) for label, _ in best)
    for row, (label, probability) in enumerate(best):
        click.echo(printable(f"{'' if row else name:<{width}}  {label:<{label_width}}  {100 * probability:6.2f} %"))


def _read_labels(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()  # some editors begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        raise NinOnnxError(f"cannot read the labels in '{path}' ({error}): expected a text file with one on each line") from error


def _targets(images: Sequence[Path], folder: Path) -> list[Path]:
    """Return a file in `folder` for each image; raises `NinOnnxError` if two would share it, or one would overwrite an image."""
    targets = [folder / f"{image.stem}.png" for image in images]
    twice = next((target for target, count in Counter(targets).items() if count > 1), None)
    if twice:
        raise NinOnnxError(f"several images would be drawn to '{twice}': give them one folder each (--maps)")
    given = {image.resolve() for image in images}
    taken = next((target for target in targets if target.resolve() in given), None)
    if taken:
        raise NinOnnxError(f"'{taken}' is one of the images and would be overwritten: choose another folder (--maps)")
    return targets


def _draw(target: Path, classifier: "Classifier", image: Path, prediction: "Prediction", top: int) -> None:
    import io

    from nin_onnx import atomic
    from nin_onnx.class_maps import draw

    png = io.BytesIO()
    draw(classifier.pixels(image), prediction, top).save(png, "PNG")
    atomic.write_bytes(target, png.getvalue())
