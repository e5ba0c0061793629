"""`nin-onnx models`: the models that ship, as their cards tell."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from nin_onnx.commands.options import columns, json_option, print_json
from nin_onnx.models import find, shipped

__all__ = ["models"]


@dataclass(frozen=True)
class ModelRow:
    """A line of the list."""

    name: str
    file: str
    bytes: int
    input: str
    height: int
    width: int
    channels: int
    classes: int
    license: str | None
    test: dict[str, Any] | None
    """As in the card."""
    variants: tuple[str, ...]
    """Other forms of the graph, each in a folder of that name beside it."""


@click.command()
@json_option
def models(as_json: bool) -> None:
    """List the models that ship with nin-onnx; their names, or name/variant, go wherever a MODEL is asked for.

    The error is that of the PyTorch model in float32 on the whole test set, looked at once, when its training had ended.
    """
    rows = [_row(name, find(name)) for name in shipped()]
    if as_json:
        print_json({"models": [asdict(row) for row in rows]})
        return
    head = ("model", "error %", "95 % CI", "of", "MB", "input", "classes", "license", "variants")
    click.echo(columns([head, *map(_cells, rows)]))


def _row(name: str, file: Path) -> ModelRow:
    import onnx

    from nin_onnx.card import read_card
    from nin_onnx.errors import ModelError

    card = read_card(onnx.load(file, load_external_data=False))
    if card is None:
        raise ModelError(f"'{file}' has no card: install nin-onnx again")
    return ModelRow(
        name,
        str(file),
        file.stat().st_size,
        card.input,
        card.height,
        card.width,
        card.channels,
        len(card.labels),
        card.license,
        dict(card.test) if card.test else None,
        tuple(sorted(path.parent.name for path in file.parent.glob("*/model.onnx"))),
    )


def _cells(row: ModelRow) -> tuple[str, ...]:
    test = row.test
    copy = f", {test['provenance']}" if test and test["provenance"] != "official" else ""
    return (
        row.name,
        f"{test['error']:.2f}" if test else "",
        f"{test['low']:.2f}-{test['high']:.2f}" if test else "",
        f"{test['images']:,} {test['name']}{copy}" if test else "",
        f"{row.bytes / 1e6:.1f}",
        f"{row.input.split()[0]}, {row.height}×{row.width}×{row.channels}",
        str(row.classes),
        row.license or "",
        ", ".join(row.variants),
    )
