"""A model folder of two graphs, and its bundles."""

import shutil
from pathlib import Path

import pytest

from nin_onnx.export import Export
from nin_onnx.export.bundles import BUNDLES, write_bundles


@pytest.fixture(scope="session")
def bundled(exported: Export, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of `exported` with every bundle; the same graph lies in a folder below it, as a variant does."""
    folder = tmp_path_factory.mktemp("bundled") / "model"
    shutil.copytree(exported.model.parent, folder)
    shutil.copytree(exported.model.parent, folder / "fp16")
    write_bundles(folder, exported.card.name, BUNDLES)
    return folder
