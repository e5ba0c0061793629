"""Golden vectors: inputs and the network's own answers, stored beside a model in the ONNX model zoo's layout.

model.onnx
test_data_set_0/input_0.pb, output_0.pb, output_1.pb, ...
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.errors import ModelError

__all__ = ["FOLDER", "Golden", "golden_images", "read_golden", "read_tensors", "write_golden"]

FOLDER = "test_data_set_0"


@dataclass(frozen=True, eq=False)
class Golden:
    """The images given to the network and the outputs it must give, each by the graph's own name for it."""

    images: NDArray[Any]
    """uint8 [N, height, width, channels], or as the variant with float input takes them: float32 [N, channels, height, width]."""
    outputs: Mapping[str, NDArray[np.float32]]
    """`logits` and `probabilities` [N, classes], `class_maps` [N, classes, h, w]; from float64, rounded to float32."""
    places: float = 1.0
    """Of outputs with places in the image, as `class_maps` have them: their unit over their largest value, as in `Precision`."""

    @cached_property
    def hash(self) -> str:
        """SHA-256 of names, types, shapes and values, in hexadecimal."""
        digest = hashlib.sha256()
        arrays: dict[str, NDArray[Any]] = {"images": self.images, **self.outputs}
        for name, array in arrays.items():
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def scale(self, name: str) -> float:
        """The unit in which differences of an output are measured: its largest absolute value in the whole set, times `places`.

        Softmax moves a probability by at most half of what it moves the logits by, so the unit of probabilities is half the
        largest logit; below 1, rounding to float32 would count.
        """
        if name == "probabilities" and "logits" in self.outputs:
            return max(1.0, self.scale("logits") / 2)
        array = self.outputs[name]
        return (float(np.abs(array).max()) or 1.0) * (self.places if array.ndim > 2 else 1.0)


def golden_images(height: int, width: int, channels: int, noise: int = 4) -> NDArray[np.uint8]:
    """The images that every model is tried on, uint8 [noise + 8, height, width, channels].

    `noise` of uniform noise; black, white, three constant grays; and three saturated: random pixels, a checkerboard, halves.
    """
    random = np.random.default_rng(0)
    shape = (height, width, channels)
    rows, columns = np.indices((height, width))
    return np.stack(
        [
            *random.integers(0, 256, (noise, *shape), np.uint8),
            *(np.full(shape, level, np.uint8) for level in (0, 255, 1, 127, 254)),
            random.integers(0, 2, shape, np.uint8) * np.uint8(255),
            np.broadcast_to(((rows + columns) % 2 * 255).astype(np.uint8)[..., None], shape),
            np.broadcast_to((columns < width // 2).astype(np.uint8)[..., None] * np.uint8(255), shape),
        ]
    )


def write_golden(folder: Path, golden: Golden) -> None:
    """Write `golden` as `folder`/test_data_set_0/*.pb."""
    from onnx import numpy_helper

    target = folder / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    files: dict[str, tuple[str, NDArray[Any]]] = {"input_0.pb": ("images", golden.images)}
    files |= {f"output_{i}.pb": item for i, item in enumerate(golden.outputs.items())}
    for file, (name, array) in files.items():
        (target / file).write_bytes(numpy_helper.from_array(array, name).SerializeToString())


def read_golden(folder: Path) -> Golden | None:
    """The golden vectors that lie in `folder`, or None where there are none; raises `ModelError` for a broken file."""
    tensors = read_tensors(folder)
    if "input_0" not in tensors:
        return None
    source = folder / FOLDER
    arrays = {name: array for file, (name, array) in tensors.items() if file == "input_0" or file.startswith("output_")}
    images = arrays.pop("images", None)
    if images is None or "logits" not in arrays:
        raise ModelError(f"'{source}' should hold 'images' and 'logits', it holds {sorted(arrays)}: export the model again")
    if images.dtype not in (np.uint8, np.float32) or images.ndim != 4 or not images.size:
        raise ModelError(
            f"'{source}' should hold images as uint8 or float32, a batch of three sides, "
            f"it holds {images.dtype} {list(images.shape)}: export the model again"
        )
    for name, array in arrays.items():
        if not np.issubdtype(array.dtype, np.floating) or array.shape[:1] != images.shape[:1] or not array.size:
            raise ModelError(
                f"'{source}' should hold '{name}' as floating point numbers [{len(images)}, …], "
                f"it holds {array.dtype} {list(array.shape)}: export the model again"
            )
    return Golden(images, arrays)


def read_tensors(folder: Path) -> dict[str, tuple[str, NDArray[Any]]]:
    """What lies in the layout of the ONNX model zoo in `folder`: for input_0, ..., output_0, ... the name and the array.

    In the order of their numbers; raises `ModelError` for a broken file.
    """
    from google.protobuf.message import DecodeError
    from onnx import TensorProto, checker, numpy_helper

    files = [path for path in (folder / FOLDER).glob("*_*.pb") if path.stem.partition("_")[2].isdecimal()]
    tensors = {}
    for path in sorted(files, key=lambda path: int(path.stem.partition("_")[2])):
        try:
            tensor = TensorProto.FromString(path.read_bytes())
            if isinstance(tensor.name, bytes):  # what protobuf gives for text that is none
                raise ValueError("its name is not text")
            tensors[path.stem] = tensor.name, numpy_helper.to_array(tensor)
        except (DecodeError, checker.ValidationError, ValueError, TypeError, KeyError) as error:
            raise ModelError(f"'{path}' holds no tensor ({str(error)[:300]}): export the model again") from error
    return tensors
