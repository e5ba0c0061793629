"""Recipes: how to train, as frozen data that is read from TOML."""

from nin_onnx.train.recipe.reading import FOLDER, from_dict, load, promise, read, shipped, to_toml
from nin_onnx.train.recipe.settings import Augmentation, Folder, Network, Optimizer, Promise, Recipe, Schedule, Train
from nin_onnx.train.recipe.unmeant import unmeant

__all__ = [
    "FOLDER",
    "Augmentation",
    "Folder",
    "Network",
    "Optimizer",
    "Promise",
    "Recipe",
    "Schedule",
    "Train",
    "from_dict",
    "load",
    "promise",
    "read",
    "shipped",
    "to_toml",
    "unmeant",
]
