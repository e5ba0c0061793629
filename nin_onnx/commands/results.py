"""`nin-onnx results`: from the summaries of finished runs to a table."""

from pathlib import Path

import click

from nin_onnx.commands.options import json_option, print_json

__all__ = ["results"]


@click.command(short_help="Print the table of finished runs.")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("results"))
@json_option
def results(folder: Path, as_json: bool) -> None:
    """Print the table of the finished runs whose summary.json lies in FOLDER (by default: results), as Markdown."""
    from nin_onnx.results import read, table

    summaries = read(folder)
    if as_json:
        print_json({"results": summaries})
    else:
        click.echo(table(summaries))
