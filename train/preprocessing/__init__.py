"""Preprocessing as modules in front of the network: fitted on the training images, stored and exported with it."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor, nn

from nin_onnx.architecture import Shape
from nin_onnx.recipe.settings import PREPROCESSING
from nin_onnx.train.preprocessing.step import Step

__all__ = ["STEPS", "Preprocessing", "Step", "build"]


def _step(place: str) -> type[Step]:
    """Return the step at `module:class`."""
    module, name = place.split(":")
    return cast(type[Step], getattr(import_module(module), name))


STEPS: Mapping[str, type[Step]] = MappingProxyType({name: _step(place) for name, place in PREPROCESSING.items()})
"""Every step by the name that recipes use; each is made for a shape (channels, height, width)."""


class Preprocessing(nn.Sequential):
    """The steps of a recipe, first to last: uint8 [N, height, width, channels] in, [N, channels, height, width] out."""

    def forward(self, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        x = images.permute(0, 3, 1, 2).to(dtype)
        for step in self:
            x = step(x)
        return x

    def fit(self, images: Tensor, batch: int = 1000) -> None:
        """Fit every step on the training images, uint8 [N, height, width, channels], in float64."""

        def through(steps: list[nn.Module]) -> Iterable[Tensor]:
            for part in images.split(batch):
                x = part.permute(0, 3, 1, 2).double()
                for step in steps:
                    x = step(x)
                yield x

        self.double()  # what a later step sees has float64's precision
        done: list[nn.Module] = []
        for step in self:
            assert isinstance(step, Step)
            step.fit(through(done))
            done.append(step)
        self.float()


def build(names: Iterable[str], shape: Shape) -> Preprocessing:
    """The steps of that name for images of `shape` (channels, height, width), not yet fitted."""
    preprocessing = Preprocessing()
    for name in names:
        preprocessing.add_module(name, STEPS[name](shape))
    return preprocessing
