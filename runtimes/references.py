"""Golden vectors of models that are not ours: what lies beside them, else what two independent runtimes agree on."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.errors import ModelError
from nin_onnx.golden import Golden, golden_images, read_tensors
from nin_onnx.precision import FP32
from nin_onnx.runtimes.model import ModelFile
from nin_onnx.runtimes.options import EvalOptions
from nin_onnx.runtimes.parity import allowed, compare
from nin_onnx.runtimes.workers.job import Feed
from nin_onnx.runtimes.workers.run import run_runtime

__all__ = ["EXACT", "REFERENCES", "agreed", "agreement", "inputs", "stored"]

REFERENCES = ("onnxruntime", "reference", "openvino", "tract")
"""Runtimes that share no code, the likeliest to be right first: any two that agree are believed."""
EXACT = "reference"
"""Of a graph in 8 bits it must be one of the two, if it gave an answer: it multiplies in float32, on every processor."""
LARGEST = 2**28
"""How many values a batch of inputs may have: 2 GiB of float64."""


def stored(model: ModelFile) -> Golden | None:
    """The vectors beside a foreign model, as the ONNX model zoo lays them; None where there are none, or not of its shapes."""
    tensors = read_tensors(model.path.parent)
    _, images = tensors.get("input_0", ("", np.empty(0)))
    if "input_1" in tensors or images.dtype != model.input_type or not _fits(images.shape[1:], model.input[1:]):
        return None
    rows = len(images)
    if rows == 0 or rows % (model.fixed_batch or 1):
        return None
    outputs = {}
    for number, output in enumerate(model.graph.output):
        sides = output.type.tensor_type.shape.dim
        _, array = tensors.get(f"output_{number}", ("", np.empty(0)))
        if output.name not in model.outputs:
            continue
        if array.shape[:1] != (rows,) or not _fits(array.shape[1:], [side.dim_value or None for side in sides[1:]]):
            return None
        outputs[output.name] = array
    return Golden(images, outputs)


def _fits(shape: Sequence[int], sides: Sequence[int | str | None]) -> bool:
    """Whether a shape is as long as told, and each side of it, where that is told."""
    return len(shape) == len(sides) and all(
        side == told for side, told in zip(shape, sides, strict=True) if isinstance(told, int)
    )


def inputs(model: ModelFile, size: tuple[int, ...] | None = None) -> NDArray[Any]:
    """Inputs for `model`, always the same: noise, black, white, saturated.

    `size`: that of the images, for a model that takes all. Raises `ModelError` where the sizes are not known.
    """
    sides = model.input[1:] if model.foreign else model.image
    shape = tuple(
        side if isinstance(side, int) else given for side, given in zip(sides, size or (None,) * len(sides), strict=True)
    )
    known = [side for side in shape if side is not None]
    if len(known) < len(shape):
        raise ModelError(f"'{model.path}' takes images of any size, and no golden vectors lie beside it: give --dataset")
    batch = model.fixed_batch or 4
    if prod(known) * batch > LARGEST:
        raise ModelError(
            f"'{model.path}' says that it takes {' × '.join(map(str, (batch, *known)))} values at once: export it again"
        )
    if not model.foreign:
        height, width, channels = known
        return model.given(golden_images(height, width, channels))
    random = np.random.default_rng(0)
    rows = -(-4 // batch) * batch  # full batches only
    noise = random.normal(0, 1, (rows, *known))
    noise[1], noise[2] = 0, 1
    noise[3] = np.sign(noise[3]) * 2.5
    if model.input_type == "uint8":
        noise = np.clip(noise * 64 + 128, 0, 255).round()
    return noise.astype(model.input_type)


def agreed(model: ModelFile, options: EvalOptions, folder: Path) -> tuple[Golden, tuple[str, str], str | None]:
    """Return golden vectors for a model that has none next to it, from two runtimes that agree, and the problem if none do.

    Raises `ModelError` if fewer than two of them run.
    """
    folder.mkdir()
    images = inputs(model, options.dataset.images.shape[1:] if options.dataset else None)
    np.save(folder / "golden.npy", images, allow_pickle=False)
    feeds = {"golden": Feed(str(folder / "golden.npy"), len(images), model.fixed_batch or len(images), model.outputs)}
    tolerance = allowed(None, model.precision)
    decides = EXACT if model.quantized else None
    outputs: dict[str, Mapping[str, NDArray[Any]]] = {}
    for name in REFERENCES:
        result = run_runtime(name, model, feeds, folder / name, options)
        if result.outcome == "done" and set(model.outputs) <= result.feeds["golden"].arrays.keys():
            outputs[name] = result.feeds["golden"].arrays
            if len(outputs) < 2:
                continue
            golden, pair, problem = agreement(images, outputs, tolerance, decides)
            if problem is None:
                return golden, pair, None
    return agreement(images, outputs, tolerance, decides)


def agreement(
    images: NDArray[Any],
    outputs: Mapping[str, Mapping[str, NDArray[Any]]],
    tolerance: float = FP32.tolerance,
    indispensable: str | None = None,
) -> tuple[Golden, tuple[str, str], str | None]:
    """Return golden vectors, from the first two of `outputs` that agree within `tolerance`; which two; the problem if none do.

    `indispensable`: one of them, if it gave outputs: in 8 bits others may share an instruction that saturates.
    Raises `ModelError` if there are fewer than two.
    """
    pairs = [pair for pair in combinations(outputs, 2) if indispensable not in outputs or indispensable in pair]
    if not pairs:
        raise ModelError(
            f"no golden vectors lie next to the model, and comparing without them needs two of {', '.join(REFERENCES)}, "
            f"but only {', '.join(outputs) or 'none'} ran; nin-onnx doctor shows what is missing"
        )
    differences = []
    for first, second in pairs:
        golden = Golden(images, outputs[first])
        parity = compare(outputs[second], golden, tolerance)
        if parity.problem is None:
            return golden, (first, second), None
        differences.append(f"{first} and {second} by {parity.worst:.1e}" if parity.worst is not None else f"{first} and {second}")
    return Golden(images, outputs[pairs[0][0]]), pairs[0], f"no two references agree; they differ: {'; '.join(differences)}"
