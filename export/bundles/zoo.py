"""Bundle: NAME.tar.gz with a model and its golden vectors, as the ONNX model zoo keeps them and ONNX's backend tests read them.

NAME/data.json              how near the answers must be
NAME/model.onnx
NAME/test_data_set_0/       input_0.pb, output_0.pb, …
"""

import gzip
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import onnx

from nin_onnx.card import read_card
from nin_onnx.export.difference import TOLERANCE
from nin_onnx.golden import FOLDER, INT8_PLACES, read_golden

__all__ = ["zoo"]

TOLERANCES = {"fp32": TOLERANCE, "fp16": 5e-3, "int8": 8e-3}
"""As eval has them: int8 is exact but for sums that fall on the other side of a step."""


def zoo(name: str, source: Path, target: Path) -> None:
    """Pack the model in `source` as `target`/`name`.tar.gz: the same bytes on any day, whoever packs it."""
    vectors = sorted(path.name for path in (source / FOLDER).glob("*.pb"))
    content = {"data.json": _tolerance(source)}
    content |= {file: (source / file).read_bytes() for file in ("model.onnx", *(f"{FOLDER}/{vector}" for vector in vectors))}
    with (
        (target / f"{name}.tar.gz").open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for path, data in content.items():
            entry = tarfile.TarInfo(f"{name}/{path}")  # no owner, no time: 1970
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def _tolerance(source: Path) -> bytes:
    """For ONNX's tests, which allow 1e-7 where an answer is near 0: less than float32 keeps of the terms it is a sum of."""
    golden, card = read_golden(source), read_card(onnx.load(source / "model.onnx"))
    assert golden is not None
    assert card is not None
    unit = golden.scale("logits")
    if card.precision == "int8":
        unit = max(map(replace(golden, places=INT8_PLACES).scale, golden.outputs))  # ONNX's tests have one for all outputs
    allowed = {"atol": TOLERANCES[card.precision] * unit, "rtol": TOLERANCES[card.precision]}
    return json.dumps(allowed, sort_keys=True).encode()
