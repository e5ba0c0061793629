"""Bundle: a model repository for NVIDIA's Triton Inference Server, which batches the requests that come together.

NAME/config.pbtxt
NAME/labels.txt
NAME/1/model.onnx
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nin_onnx.export.bundles.bundle import Bundle

if TYPE_CHECKING:
    import onnx

__all__ = ["TRITON", "write_triton"]

LARGEST_BATCH = 128
"""The largest batch that the server puts together; a larger one gains nothing on most hardware."""
LABELED = ("logits", "probabilities")
"""Outputs of which a client may ask for the best classes, by their labels."""


def write_triton(name: str, source: Path, target: Path) -> None:
    """Add the model in `source` to the repository `target`, which `tritonserver --model-repository` serves."""
    import onnx

    from nin_onnx.card import read_card

    folder = target / name
    (folder / "1").mkdir(parents=True)
    shutil.copyfile(source / "model.onnx", folder / "1" / "model.onnx")
    model = onnx.load(source / "model.onnx")
    card = read_card(model)
    assert card is not None
    lines = (" ".join(label.splitlines()) for label in card.labels)
    (folder / "labels.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (folder / "config.pbtxt").write_text("\n".join(_configuration(name, model.graph)) + "\n", encoding="utf-8")


TRITON = Bundle("a model repository", r"[^/]+/(?:config\.pbtxt|labels\.txt|1/model\.onnx)", write_triton)


def _configuration(name: str, graph: "onnx.GraphProto") -> Iterator[str]:
    yield f'name: "{name}"'
    yield 'backend: "onnxruntime"'
    yield f"max_batch_size: {LARGEST_BATCH}"
    yield from _tensors("input", graph.input)
    yield from _tensors("output", graph.output)
    yield "dynamic_batching { }"


def _tensors(kind: str, values: "Iterable[onnx.ValueInfoProto]") -> Iterator[str]:
    """Yield names, types and shapes; the batch, which comes first, is the server's own."""
    from onnx import TensorProto

    types: Mapping[int, str] = {TensorProto.UINT8: "TYPE_UINT8", TensorProto.FLOAT: "TYPE_FP32"}
    for value in values:
        sides = value.type.tensor_type.shape.dim[1:]
        dims = ", ".join(str(side.dim_value) if side.HasField("dim_value") else "-1" for side in sides)
        yield f"{kind} {{"
        yield f'  name: "{value.name}"'
        yield f"  data_type: {types[value.type.tensor_type.elem_type]}"
        yield f"  dims: [ {dims} ]"
        if value.name in LABELED:
            yield '  label_filename: "labels.txt"'
        yield "}"
