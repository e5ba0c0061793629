"""Recipes: how to train, as frozen data that is read from TOML."""

from nin_onnx.recipe.ineffective import ineffective
from nin_onnx.recipe.reading import FOLDER, from_dict, load, load_shipped, promise, read, shipped, to_toml
from nin_onnx.recipe.settings import (
    AugmentationSettings,
    FolderSettings,
    NetworkSettings,
    OptimizerSettings,
    Promise,
    Recipe,
    ScheduleSettings,
    TrainSettings,
)

__all__ = [
    "FOLDER",
    "AugmentationSettings",
    "FolderSettings",
    "NetworkSettings",
    "OptimizerSettings",
    "Promise",
    "Recipe",
    "ScheduleSettings",
    "TrainSettings",
    "from_dict",
    "ineffective",
    "load",
    "load_shipped",
    "promise",
    "read",
    "shipped",
    "to_toml",
]
