"""What several commands share: their options, and how a result is printed, as JSON or in columns."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from nin_onnx.json_schema import SCHEMA

__all__ = ["FiniteRange", "columns", "data_dir_option", "device_option", "json_option", "print_json", "set_option"]

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the data sets; else NIN_ONNX_DATA, else the user's cache folder.",
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto: CUDA if there is any.",
)
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a recipe's key: train.epochs=40."
)


class FiniteRange(click.FloatRange):
    """Without nan, which no comparison finds out of range, and without infinity: either is no limit, and fails no check."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


def print_json(value: dict[str, Any]) -> None:
    """Print `value` as JSON on stdout, its first key `schema`."""
    click.echo(json.dumps({"schema": SCHEMA, **value}, indent=2, ensure_ascii=False, default=str))


def columns(rows: Sequence[Sequence[str]], left: int | None = None) -> str:
    """Return a line for each of `rows`: the first `left` cells (all if it is not given) aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<"] * len(widths[:left]) + [">"] * len(widths)
    lines = ["  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=False)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)
