"""A data set that a network learns in a second, and recipes for it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from nin_onnx import data, recipe
from nin_onnx.data import Dataset, Source, Split
from nin_onnx.recipe import Recipe

IMAGES: dict[Split, int] = {"train": 110, "test": 50}
RECIPE = """
dataset = "tiny"
[network]
architecture = "nin-digits"
last_relu = false
dropout = 0.25
initialization = "he"
[augmentation] # dropout, crops, flips and averaging: what a resumed run could get wrong
padding = 1
flip = true
[train]
epochs = 3
batch_size = 32
micro_batch = 20
precision = "fp32"
[optimizer]
learning_rate = 0.05
last_layer_lr_mult = 1.0
[schedule]
kind = "one-cycle"
ema_decay = 0.9
"""
SMALLEST = """
dataset = "digits"
[network]
architecture = "nin-digits"
[train]
epochs = 3
[optimizer]
learning_rate = 0.1
[schedule]
kind = "stepped"
"""


@dataclass
class Tiny:
    """The data set `tiny`: 8×8 images of ten classes, each a bright pixel pair in a place of its own, under noise."""

    loaded: list[Split] = field(default_factory=list)
    """Splits in the order in which they were read."""

    def load(self, split: Split, folder: Path) -> Dataset:
        self.loaded.append(split)
        random = np.random.default_rng(IMAGES[split])
        labels = random.integers(0, 10, IMAGES[split])
        images = random.integers(0, 150, (len(labels), 8, 8, 1), np.uint8)
        images[np.arange(len(labels)), labels // 2 + 1, 3 * (labels % 2) + 1] = 255
        images[np.arange(len(labels)), labels // 2 + 1, 3 * (labels % 2) + 2] = 255
        return Dataset("tiny", split, images, labels, tuple("abcdefghij"), official=True)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The data set `tiny`, in the registry for one test."""
    made = Tiny()
    monkeypatch.setattr(data, "DATASETS", {**data.DATASETS, "tiny": Source(made.load, lambda folder: folder, 80, 40)})
    return made


@pytest.fixture
def tiny_recipe(tiny: Tiny, tmp_path: Path) -> Callable[..., Recipe]:
    """A recipe that trains on `tiny`, changed by overrides such as `train.epochs=1`."""
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return lambda *overrides: recipe.load(str(path), overrides)


@pytest.fixture
def smallest(tmp_path: Path) -> Path:
    """The file of a recipe that says nothing but what must be said."""
    path = tmp_path / "smallest.toml"
    path.write_text(SMALLEST)
    return path
