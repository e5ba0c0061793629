"""Bundles: an exported model once more, in the layout that another tool reads; one file for each tool."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from nin_onnx.export.bundles.bundle import Bundle
from nin_onnx.export.bundles.triton import TRITON
from nin_onnx.export.bundles.zoo import ZOO

__all__ = ["BUNDLES", "Bundle", "write_bundles"]

BUNDLES: Mapping[str, Bundle] = MappingProxyType({"zoo": ZOO, "triton": TRITON})
"""By the name that the command line and the bundle's folder have; imports neither ONNX nor NumPy, for the help text."""


def write_bundles(folder: Path, name: str, bundles: Iterable[str]) -> None:
    """Write each of `bundles` as `folder`/BUNDLE, with the model `name` in `folder` and every variant in a folder below it."""
    models = {name: folder} | {f"{name}-{path.parent.name}": path.parent for path in sorted(folder.glob("*/model.onnx"))}
    for bundle in dict.fromkeys(bundles):  # one that was asked for twice is one
        (folder / bundle).mkdir(exist_ok=True)
        for model, source in models.items():
            BUNDLES[bundle].write(model, source, folder / bundle)
