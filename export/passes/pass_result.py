"""What every pass returns."""

from collections.abc import Callable
from typing import NamedTuple

import onnx

__all__ = ["Pass", "PassResult"]


class PassResult(NamedTuple):
    """A model, and whether the pass changed it."""

    model: onnx.ModelProto
    changed: bool


Pass = Callable[[onnx.ModelProto], PassResult]
"""Takes a model, which it may change in place, and returns it, or another."""
