"""`nin-onnx export`: from a run folder to one ONNX file, and to variants of it."""

import shlex
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nin_onnx.commands.options import data_dir_option, json_option, print_json
from nin_onnx.export.bundles import BUNDLES
from nin_onnx.precision import VARIANTS
from nin_onnx.variants import INPUTS

if TYPE_CHECKING:
    from nin_onnx.export import Export

__all__ = ["export"]

RENAMED = {"licence": "license"}
"""Options that had another name."""


@click.command(
    context_settings={"token_normalize_func": lambda name: RENAMED.get(name, name)},
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="The model's folder.  [default: RUN/model]")
@click.option("--license", help="License of the weights, as SPDX writes it (Apache-2.0): for the card.")
@click.option(
    "--bundle",
    "bundles",
    multiple=True,
    metavar="NAME",
    help=" ".join(["For another tool as well; may be repeated.", *(f"{name}: {one.help}." for name, one in BUNDLES.items())]),
)
@click.option("--dynamic-size", is_flag=True, help="Leave height and width free: the graph takes images of any size.")
@click.option(
    "--variant",
    "precisions",
    type=click.Choice(VARIANTS),
    multiple=True,
    default=VARIANTS[:1],
    help="A precision; may be repeated. fp32 is always written, the others are made of it and of training images.",
)
@click.option(
    "--input",
    "inputs",
    type=click.Choice(INPUTS),
    multiple=True,
    default=INPUTS[:1],
    help="uint8 [batch, height, width, channels], or float32 [batch, channels, height, width]; may be repeated.",
)
@data_dir_option
@json_option
def export(
    run: Path,
    out: Path | None,
    license: str | None,
    bundles: tuple[str, ...],
    dynamic_size: bool,
    precisions: tuple[str, ...],
    inputs: tuple[str, ...],
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Export the trained network in the folder RUN as one ONNX file that takes raw pixels.

    The graph is simplified, and checked against PyTorch in float64; if they differ, no file is written. A variant is
    judged by the labels that it changes on validation images, and lies in a folder of its own: RUN/model/int8/model.onnx.
    """
    from nin_onnx.export import export_run

    result = export_run(
        run,
        out,
        license=license,
        bundles=bundles,
        dynamic_size=dynamic_size,
        precisions=precisions,
        inputs=inputs,
        data_dir=data_dir,
    )
    if as_json:
        print_json(_as_json(result))
    else:
        _print(result, bundles)


def _as_json(result: "Export") -> dict[str, Any]:
    """Return what the export made, for scripts."""
    return {
        "model": str(result.model),
        "bytes": result.size,
        "passes": [asdict(one) for one in result.passes],
        "card": asdict(result.card),
        "variants": [{**asdict(one), "model": str(one.model)} for one in result.variants],
    }


def _print(result: "Export", bundles: Iterable[str]) -> None:
    """Print what the export made, and what to do next."""
    for one in result.passes:
        click.echo(f"{one.name:<20} {'changed' if one.changed else 'no change':<10} {one.nodes_before} → {one.nodes_after} nodes")
    click.echo(f"{result.model}  {result.size / 1e6:.2f} MB, checked against PyTorch in float64")
    for bundle in dict.fromkeys(bundles):
        click.echo(f"{result.model.parent / bundle}")
    for made in result.variants:
        judged = f"against fp32 on validation images: {made.comparison}" if made.comparison else "the same answers bit for bit"
        click.echo(f"{made.model}  {made.size / 1e6:.2f} MB, {made.size / result.size:.3f} × fp32, {judged}")
    click.echo(f"next: nin-onnx eval {shlex.quote(str(result.model.parent))}")
