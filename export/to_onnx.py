"""The classifier as torch's exporter writes it, and the answers that every form of it must give."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from nin_onnx.golden import Golden, golden_images
from nin_onnx.train.network import Classifier, Decisions, Outputs

__all__ = ["OPSET", "golden_vectors", "module_values", "to_onnx"]

OPSET = 18


def to_onnx(classifier: Classifier) -> onnx.ModelProto:
    """The graph of `classifier`: uint8 `images` [batch, height, width, channels] in; its outputs by name, dynamic batch."""
    channels, height, width = classifier.network.architecture.input
    example = torch.zeros((2, height, width, channels), dtype=torch.uint8)  # a batch of 1 would become a constant
    with _quiet():
        program = torch.onnx.export(
            classifier.eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["images"],
            output_names=list((Outputs if classifier.network.architecture.class_maps else Decisions)._fields),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    assert isinstance(model, onnx.ModelProto)
    return model


def golden_vectors(classifier: Classifier) -> Golden:
    """What `classifier` answers to the golden images, computed in float64 and rounded to float32."""
    channels, height, width = classifier.network.architecture.input
    images = golden_images(height, width, channels)
    with torch.inference_mode():
        outputs = classifier.eval().double()(torch.from_numpy(images))
    classifier.float()
    return Golden(images, {name: output.float().numpy() for name, output in outputs._asdict().items()})


def module_values(classifier: Classifier, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """What each module of `classifier` gives for `images`, computed in float64, by the module's name; and the pixels."""
    found: dict[str, NDArray[np.float32]] = {"images": images.transpose(0, 3, 1, 2).astype(np.float32)}

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                found[name] = output.float().numpy().copy()  # the next module may write into the same memory

        return hook

    hooks = [module.register_forward_hook(note(name)) for name, module in classifier.named_modules()]
    try:
        with torch.inference_mode():
            classifier.eval().double()(torch.from_numpy(images))
    finally:
        for one in hooks:
            one.remove()
        classifier.float()
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter logs what it did not find (torchvision) and warns about torch's own code: nothing a user can act on."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)
