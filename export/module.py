"""Any torch classifier behind the input that every exported graph has."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nin_onnx.architecture import Shape
from nin_onnx.errors import ModelError
from nin_onnx.train import preprocessing
from nin_onnx.train.network import Decisions, ImageClassifier, Outputs, decisions
from nin_onnx.train.preprocessing import Preprocessing
from nin_onnx.train.preprocessing.pixels import Standardize

__all__ = ["ModuleClassifier", "wrap_module"]


class ModuleClassifier(ImageClassifier):
    """A copy of a user's module; without preprocessing it is given the pixels as they come."""

    def __init__(self, module: nn.Module, shape: Shape, before: Preprocessing | None) -> None:
        super().__init__()
        self.preprocessing = before
        self.network = copy.deepcopy(module).cpu()
        self.input = shape

    def forward(self, images: Tensor) -> Outputs | Decisions:
        if self.preprocessing is None:
            return decisions(self.network(images))
        dtype = next(self.preprocessing.buffers()).dtype
        return decisions(self.network(self.preprocessing(images, dtype)))


def wrap_module(
    module: nn.Module,
    example: Tensor | NDArray[Any],
    classes: int,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> ModuleClassifier:
    """Return `module` as a classifier of raw pixels, in evaluation mode, that was tried on `example`; raises `ModelError`.

    `example`: a batch as `module` takes it. If that is uint8 [N, height, width, channels] there is no preprocessing; if it
    is floating point [N, channels, height, width] pixels become 0…1, less `mean` and divided by `std` of each channel.
    """
    tensor = torch.as_tensor(example)
    raw = tensor.dtype == torch.uint8
    if tensor.ndim != 4 or not (raw or tensor.is_floating_point()):
        kind = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        raise ModelError(
            f"the example is '{kind}', it should be uint8 [batch, height, width, channels] "
            "or float32 [batch, channels, height, width]"
        )
    height, width, channels = tensor.shape[1:] if raw else (*tensor.shape[2:], tensor.shape[1])
    if channels not in (1, 3):
        raise ModelError(f"the example has {channels} channels, images have 1 or 3: give uint8 images with their channels last")
    if raw and (mean is not None or std is not None):
        raise ModelError("mean and std were given for a module that takes uint8: leave them out, or let it take float32")
    before = None if raw else _preprocessing((channels, height, width), mean, std)
    classifier = ModuleClassifier(module, (channels, height, width), before).eval()
    _try(classifier, classes)
    return classifier


def _preprocessing(shape: Shape, mean: Sequence[float] | None, std: Sequence[float] | None) -> Preprocessing:
    given = {name: values for name, values in (("mean", mean), ("std", std)) if values is not None}
    for name, values in given.items():
        if len(values) != shape[0] or (name == "std" and not all(value > 0 for value in values)):
            above = " above 0" if name == "std" else ""
            raise ModelError(f"'{name}' is '{list(values)}', expected a number{above} for each of {shape[0]} channels")
    before = preprocessing.build(("scale", "standardize") if given else ("scale",), shape)
    if given:
        step = before[1]
        assert isinstance(step, Standardize)
        for name, values in given.items():
            getattr(step, name).copy_(torch.tensor(values)[:, None, None])
    return before


def _try(classifier: ModuleClassifier, classes: int) -> None:
    """Raise `ModelError` unless the module answers images, in float64 too, with a score for each of `classes`."""
    channels, height, width = classifier.input
    images = torch.from_numpy(np.zeros((2, height, width, channels), np.uint8))
    try:
        with torch.inference_mode():
            answer = classifier.double()(images)
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"the module does not answer images in float64 ({reason}): it should take what the example is, "
            "convert to the type of its weights where it converts, and give one tensor of scores"
        ) from error
    finally:
        classifier.float()
    if answer.logits.shape != (2, classes):
        raise ModelError(
            f"the module gives scores of shape '{list(answer.logits.shape)}' for 2 images, "
            f"expected '{[2, classes]}': give one label for each of its classes"
        )
