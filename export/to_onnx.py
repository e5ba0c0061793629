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

from nin_onnx.errors import ExportError
from nin_onnx.golden import Golden, golden_images
from nin_onnx.train.network import ImageClassifier

__all__ = ["OPSET", "golden_vectors", "module_values", "to_onnx"]

OPSET = 18


def to_onnx(classifier: ImageClassifier) -> onnx.ModelProto:
    """The graph of `classifier`: uint8 `images` [batch, height, width, channels] in; its outputs by name, dynamic batch.

    Raises `ExportError` for a module that torch cannot export.
    """
    channels, height, width = classifier.input
    example = torch.zeros((2, height, width, channels), dtype=torch.uint8)  # a batch of 1 would become a constant
    with torch.inference_mode():
        names = list(classifier.eval()(example)._fields)
    try:
        with _quiet():
            program = torch.onnx.export(
                classifier,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["images"],
                output_names=names,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:  # a user's own module
        cause = error.__cause__ or error
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        raise ExportError(f"torch cannot export the module ({reason}): nothing is written; see torch.onnx.export") from error
    assert program is not None
    model = program.model_proto
    assert isinstance(model, onnx.ModelProto)
    return model


def golden_vectors(classifier: ImageClassifier) -> Golden:
    """What `classifier` answers to the golden images, computed in float64 and rounded to float32."""
    channels, height, width = classifier.input
    images = golden_images(height, width, channels)
    with torch.inference_mode():
        outputs = classifier.eval().double()(torch.from_numpy(images))
    classifier.float()
    return Golden(images, {name: output.float().numpy() for name, output in outputs._asdict().items()})


def module_values(classifier: ImageClassifier, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
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
