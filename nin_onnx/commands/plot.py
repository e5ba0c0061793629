"""`nin-onnx plot`: from run folders to a picture, and how far the runs are from the paper's Figure 3."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nin_onnx.commands.options import columns, json_option, print_json
from nin_onnx.errors import require

if TYPE_CHECKING:
    from nin_onnx.results.curves import Comparison

__all__ = ["plot"]


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="A .png, .svg or .pdf.  [default: RUN/curves.png; of several: curves.png]"
)
@json_option
def plot(runs: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Draw loss, errors and learning rate over the epochs of each folder RUN, whether it has ended or is under way.

    If a run repeats the experiment of the paper's Figure 3, the figure's curves are drawn too, and the errors are compared:
    the test's or validation's, the mean over the last five epochs that the figure covers; and the training's at epochs 24, 80
    and 200. Its numbers are digitized, to about a point.
    """
    require("plotting", "plot", "matplotlib")
    from nin_onnx import atomic
    from nin_onnx.results import curves
    from nin_onnx.results.plot import FORMATS, render

    file = out or (runs[0] / "curves.png" if len(runs) == 1 else Path("curves.png"))
    kind = file.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise click.UsageError(
            f"'{file}' is not a picture's name: let --out end in {', '.join(f'.{known}' for known in FORMATS)}"
        )
    read = [curves.read(run) for run in runs]
    atomic.write_bytes(file, render(read, kind))
    comparisons = [one for run in read for one in (curves.compare(run), *curves.compare_training(run)) if one]
    if as_json:
        print_json({"file": str(file), "figure3": [asdict(comparison) for comparison in comparisons]})
        return
    if comparisons:
        click.echo(_table(comparisons))
    click.echo(file)


def _table(comparisons: Sequence["Comparison"]) -> str:
    rows = [("run", "error", "epochs", "ours %", "Figure 3 %", "points apart")]
    for one in comparisons:
        epochs = str(one.last_epoch) if one.error == "train" else f"{one.first_epoch} - {one.last_epoch}"
        rows.append((one.run, one.error, epochs, f"{one.ours:.2f}", f"{one.paper:.2f}", f"{one.difference:+.2f}"))
    return columns(rows, left=3)
