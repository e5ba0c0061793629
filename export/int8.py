"""The int8 variant: ONNX Runtime's static quantization, weights per channel, activations by what training images show.

The settings are those that ONNX Runtime fuses: signed symmetric weights, unsigned activations, so that a ReLU is where the range
begins, and quantized pooling. Weights have 7 bits, -64 to 64: x86 processors without VNNI keep sums of two products in 16 bits,
and 2 · 255 · 64 = 32,640 fits for whatever activations. The preprocessing stays in float32, and so does the last layer, whose
weights are few and whose maps are the answer.
"""

import contextlib
import io
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from nin_onnx.eight_bits import HIGHEST, LOWEST, bounds
from nin_onnx.errors import ExportError
from nin_onnx.evaluator import evaluator
from nin_onnx.export.calibration import logits
from nin_onnx.export.maker import Made, VariantSource
from nin_onnx.export.network_part import layers, preprocessing
from nin_onnx.golden import Golden, golden_images
from nin_onnx.graph import replace_all

__all__ = ["METHODS", "check_bounds", "int8", "quantize"]

METHODS: Mapping[str, str] = MappingProxyType({"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"})
"""How the range of an activation is found, and ONNX Runtime's name for it."""
QUANTIZED = ("Conv", "Relu", "MaxPool", "AveragePool")
BATCH = 64
"""Images whose activations are looked at together; all of CIFAR-10's network are 5 MB an image."""


def int8(source: VariantSource) -> Made:
    """Return the exported graph in 8 bits, its ranges found by the method that changes the fewest labels.

    Its golden vectors are the reference evaluator's answers, since PyTorch knows nothing of the ranges. Raises `ExportError`
    if a layer could saturate.
    """
    validation = source.data.validation.images
    made = {method: quantize(source.model, source.preprocessing, source.data.calibration, method) for method in METHODS}
    tried = {method: logits(model, validation) for method, model in made.items()}
    labels = source.logits.argmax(1)
    changes = {method: int(np.count_nonzero(found.argmax(1) != labels)) for method, found in tried.items()}
    chosen = min(METHODS, key=lambda method: (changes[method], float(np.square(tried[method] - source.logits).mean())))
    calibration = {"method": chosen, "label_changes": changes, **source.data.describe()}
    return Made(made[chosen], tried[chosen], _golden_vectors(made[chosen], source), calibration)


def _golden_vectors(model: onnx.ModelProto, source: VariantSource) -> Golden:
    """Return what the reference evaluator answers to the golden images."""
    channels, height, width = source.classifier.input
    images = golden_images(height, width, channels)
    found: Any = evaluator(model).run(None, {"images": images})
    return Golden(images, dict(zip((output.name for output in model.graph.output), found, strict=True)))


def quantize(model: onnx.ModelProto, steps: Collection[str], images: NDArray[Any], method: str) -> onnx.ModelProto:
    """Return `model` with the network behind its preprocessing `steps` in 8 bits, its ranges found on `images`.

    `method`: a key of `METHODS`. Raises `ExportError` if a layer could saturate.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    untouched = [node.name for node in preprocessing(model, steps)] + [node.name for node in layers(model, steps)[-1:]]
    batch = max(size for size in range(1, BATCH + 1) if len(images) % size == 0)
    with tempfile.TemporaryDirectory(prefix="nin-onnx-") as folder:
        source, target = Path(folder, "source.onnx"), Path(folder, "int8.onnx")
        prepared = onnx.shape_inference.infer_shapes(model)
        add_pre_process_metadata(prepared)  # what ONNX Runtime's own preparation does, the passes have done
        onnx.save(prepared, source)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
            quantize_static(
                source,
                target,
                Reader(images, batch),
                op_types_to_quantize=list(QUANTIZED),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=untouched,
                calibrate_method=CalibrationMethod[METHODS[method]],
                extra_options={"CalibStridedMinMax": batch},
            )
        result = onnx.load(target)
    used = {node.domain for node in result.graph.node}
    replace_all(result.opset_import, [entry for entry in result.opset_import if entry.domain in used])
    check_bounds(result)
    return result


def check_bounds(model: onnx.ModelProto) -> None:
    """Raise `ExportError` for the first layer of `model` with weights for which a sum of two products could leave 16 bits."""
    for one in bounds(model):
        if one.could_saturate:
            raise ExportError(
                f"the variant 'int8' could saturate at the layer {one} (16 bits hold {LOWEST:,} to {HIGHEST:,}): "
                "nothing is written; leave --variant int8 out"
            )


class Reader:
    """What `quantize_static` reads the images from: all of a range, and then it sets the next."""

    def __init__(self, images: NDArray[Any], batch: int) -> None:
        self.images, self.rest, self.batch = images, images, batch

    def __len__(self) -> int:
        return len(self.images)

    def set_range(self, start_index: int, end_index: int) -> None:
        self.rest = self.images[start_index:end_index]

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        now, self.rest = self.rest[: self.batch], self.rest[self.batch :]
        return {"images": np.ascontiguousarray(now)} if len(now) else None
