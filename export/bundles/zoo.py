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

from nin_onnx.export.bundles.bundle import Bundle

__all__ = ["ZOO", "write_zoo"]


def write_zoo(name: str, source: Path, target: Path) -> None:
    """Pack the model in `source` as `target`/`name`.tar.gz: the same bytes on any day, whoever packs it."""
    from nin_onnx.golden import FOLDER

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


ZOO = Bundle("an archive as in the ONNX model zoo", r"[^/]+\.tar\.gz", write_zoo)


def _tolerance(source: Path) -> bytes:
    """Return what ONNX's tests allow; their default is 1e-7 if an answer is near 0, less than float32 keeps of its terms."""
    import onnx

    from nin_onnx.card import read_card
    from nin_onnx.golden import read_golden
    from nin_onnx.precision import PRECISIONS

    golden, card = read_golden(source), read_card(onnx.load(source / "model.onnx"))
    assert golden is not None
    assert card is not None
    precision = PRECISIONS[card.precision]
    unit = golden.scale("logits")
    if precision.places > 1:  # ONNX's tests have one tolerance for all outputs
        unit = max(map(replace(golden, places=precision.places).scale, golden.outputs))
    return json.dumps({"atol": precision.tolerance * unit, "rtol": precision.tolerance}, sort_keys=True).encode()
