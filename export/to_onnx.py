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

__all__ = ["OPSET", "golden_vectors", "module_values", "other_golden_vectors", "to_onnx"]

OPSET = 18
ONE_SIZE = "the network takes images of one size: nothing is written; export it without --dynamic-size"


def to_onnx(classifier: ImageClassifier, *, dynamic_size: bool = False) -> onnx.ModelProto:
    """The graph of `classifier`: uint8 `images` [batch, height, width, channels] in; its outputs by name, dynamic batch.

    `dynamic_size`: height and width are left free too. Raises `ExportError` for a module that torch cannot export, or not so.
    """
    channels, height, width = classifier.input
    example = torch.zeros((2, height, width, channels), dtype=torch.uint8)  # a batch of 1 would become a constant
    with torch.inference_mode():
        names = list(classifier.eval()(example)._fields)
    free = {0: torch.export.Dim("batch")}
    if dynamic_size:
        free |= {1: torch.export.Dim("height", min=height // 2), 2: torch.export.Dim("width", min=width // 2)}
    try:
        with _quiet():
            program = torch.onnx.export(
                classifier,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["images"],
                output_names=names,
                dynamic_shapes=(free,),
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
    if dynamic_size:
        _check_free(model)
    return model


def _check_free(model: onnx.ModelProto) -> None:
    """Raise `ExportError` where torch made constants of the sizes; sizes of the class maps get names in place of formulas."""
    sides = model.graph.input[0].type.tensor_type.shape.dim
    if [side.dim_param for side in sides[1:3]] != ["height", "width"]:
        raise ExportError(ONE_SIZE)
    for output in model.graph.output:
        for side, name in zip(output.type.tensor_type.shape.dim[2:], ("h", "w"), strict=False):
            side.dim_param = name


def golden_vectors(classifier: ImageClassifier, size: tuple[int, int] | None = None) -> Golden:
    """What `classifier` answers to the golden images, of its own size unless told, computed in float64, rounded to float32."""
    channels, *own = classifier.input
    height, width = size or own
    images = golden_images(height, width, channels)
    with torch.inference_mode():
        outputs = classifier.eval().double()(torch.from_numpy(images))
    classifier.float()
    return Golden(images, {name: output.float().numpy() for name, output in outputs._asdict().items()})


def other_golden_vectors(classifier: ImageClassifier) -> Golden:
    """The same for images of another size; raises `ExportError` where `classifier` takes none."""
    _, height, width = classifier.input
    try:
        return golden_vectors(classifier, (height + 3, 2 * width - 1))
    except RuntimeError as error:
        raise ExportError(ONE_SIZE) from error


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
