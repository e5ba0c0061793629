"""Bundles: an exported model once more, in the layout that another tool reads; one file for each tool."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from nin_onnx.export.bundles.triton import triton
from nin_onnx.export.bundles.zoo import zoo

__all__ = ["BUNDLES", "write_bundles"]

BUNDLES: Mapping[str, Callable[[str, Path, Path], None]] = MappingProxyType({"zoo": zoo, "triton": triton})
"""Each takes a model's name, its folder, and the folder to write to: a bundle is a folder for any number of models."""


def write_bundles(folder: Path, name: str, bundles: Iterable[str]) -> None:
    """Write each of `bundles` as `folder`/BUNDLE, with the model `name` in `folder` and every variant in a folder below it."""
    models = {name: folder} | {f"{name}-{path.parent.name}": path.parent for path in sorted(folder.glob("*/model.onnx"))}
    for bundle in dict.fromkeys(bundles):  # one that was asked for twice is one
        (folder / bundle).mkdir(exist_ok=True)
        for model, source in models.items():
            BUNDLES[bundle](model, source, folder / bundle)
