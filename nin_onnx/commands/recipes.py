"""`nin-onnx recipes`: the experiments that can be repeated, with the paper's figure and what was measured here."""

from dataclasses import asdict, dataclass

import click

from nin_onnx.commands.options import columns, json_option, print_json

__all__ = ["recipes"]


@dataclass(frozen=True)
class RecipeRow:
    """A line of the list; errors in per cent."""

    name: str
    paper: float | None
    place: str | None
    measured: str | None
    cost: str | None
    epochs: int
    at_most: bool
    """Whether the training may end sooner, by the paper's rule."""
    petaflop: float
    """10¹⁵ operations of the whole training: forward and backward, two for each multiply-add."""


@click.command()
@json_option
def recipes(as_json: bool) -> None:
    """List the recipes that come with nin-onnx: the paper's test error, what was measured here, and what it costs.

    PFLOP counts forward and backward pass over all epochs, two operations for each multiply-add.
    """
    from nin_onnx.recipe import shipped

    rows = [_row(name) for name in shipped()]
    if as_json:
        print_json({"recipes": [asdict(row) for row in rows]})
        return
    click.echo(columns([("recipe", "paper %", "where", "measured %", "cost", "epochs", "PFLOP"), *map(_cells, rows)]))


def _row(name: str) -> RecipeRow:
    from nin_onnx.costs import multiply_adds
    from nin_onnx.data import DATASETS
    from nin_onnx.paper import published
    from nin_onnx.recipe import load, promise

    recipe, measured = load(name), promise(name)
    figure = published(recipe.experiment) if recipe.experiment else None
    images = DATASETS[recipe.dataset].train_images  # no recipe that ships is of a user's folder
    return RecipeRow(
        name,
        figure.error if figure else None,
        figure.place if figure else None,
        measured.error if measured else None,
        measured.cost if measured else None,
        recipe.train.epochs,
        recipe.schedule.kind == "plateau",
        6 * multiply_adds(recipe.table()) * images * recipe.train.epochs / 1e15,
    )


def _cells(row: RecipeRow) -> tuple[str, ...]:
    return (
        row.name,
        f"{row.paper:.2f}" if row.paper is not None else "",
        row.place or "",
        row.measured or "not run",
        row.cost or "",
        f"{'≤ ' if row.at_most else ''}{row.epochs}",
        f"{row.petaflop:.1f}" if row.petaflop >= 0.05 else "< 0.1",
    )
