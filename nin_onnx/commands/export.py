"""`nin-onnx export`: from a run folder to one ONNX file."""

from dataclasses import asdict
from pathlib import Path

import click

from nin_onnx.commands.options import json_option, print_json

__all__ = ["export"]


@click.command(short_help="Export a run as one ONNX file that takes raw pixels.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The model's folder.  [default: RUN/model]")
@click.option("--licence", help="Licence of the weights, as SPDX writes it (Apache-2.0): for the card.")
@click.option(
    "--bundle",
    "bundles",
    multiple=True,
    metavar="NAME",
    help="For another tool as well; may be repeated. zoo: an archive as in the ONNX model zoo. triton: a model repository.",
)
@json_option
def export(run: Path, out: Path | None, licence: str | None, bundles: tuple[str, ...], as_json: bool) -> None:
    """Export the trained network in the folder RUN as one ONNX file that takes raw pixels.

    The graph is simplified, and checked against PyTorch in float64; where they differ, no file is written.
    """
    from nin_onnx.export import export_run

    result = export_run(run, out, licence=licence, bundles=bundles)
    if as_json:
        passes = [asdict(one) for one in result.passes]
        print_json({"model": str(result.model), "bytes": result.size, "passes": passes, "card": asdict(result.card)})
        return
    for one in result.passes:
        click.echo(f"{one.name:<20} {'changed' if one.changed else 'no change':<10} {one.nodes_before} → {one.nodes_after} nodes")
    click.echo(f"{result.model}  {result.size / 1e6:.2f} MB, checked against PyTorch in float64")
    for bundle in bundles:
        click.echo(f"{result.model.parent / bundle}")
    click.echo(f"next: nin-onnx eval {result.model.parent}")
