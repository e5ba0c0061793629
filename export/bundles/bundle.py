"""What every bundle is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Bundle"]


@dataclass(frozen=True)
class Bundle:
    """A layout that another tool reads: a folder for any number of models."""

    help: str
    """What it is, for the command line."""
    files: str
    """Regular expression for the paths of all that it writes, from the bundle's folder."""
    write: Callable[[str, Path, Path], None]
    """Takes a model's name, its folder, and the bundle's folder, to which it adds the model."""
