"""`nin-onnx data`: the data sets, downloaded and checked."""

from pathlib import Path
from typing import Any

import click

from nin_onnx.commands.options import data_dir_option, json_option, print_json
from nin_onnx.data import DATASETS
from nin_onnx.errors import AbsentDataError, MissingExtraError, UnknownNameError

__all__ = ["data"]


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@data_dir_option
@json_option
def data(names: tuple[str, ...], data_dir: Path | None, as_json: bool) -> None:
    """Download the data sets NAME where they are absent, and check them; without a NAME, check those that are there."""
    from nin_onnx.data import download, load

    for name in names:
        if name not in DATASETS:
            raise UnknownNameError("data set", name, DATASETS)
    found: dict[str, list[dict[str, Any]]] = {}
    lacking: dict[str, str] = {}
    for name in names or DATASETS:
        if names:
            download(name, data_dir)
        try:
            found[name] = [load(name, split, data_dir).describe() for split in ("train", "test")]
        except (AbsentDataError, MissingExtraError) as error:
            if names:
                raise
            found[name] = []
            lacking[name] = str(error) if isinstance(error, MissingExtraError) else f"absent: nin-onnx data {name}"
    if as_json:
        print_json({"datasets": found})
        return
    for name, splits in found.items():
        parts = [f"{part['images']:,} {part['split']} images, {part['provenance']}" for part in splits]
        click.echo(f"{name:<8}  {'; '.join(parts) or lacking[name]}")
