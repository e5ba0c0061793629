"""A variant beside the graph that it was made from: on which images of the data set one runtime decides otherwise."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nin_onnx.errors import ModelError
from nin_onnx.precision import FP32
from nin_onnx.runtimes.model import ModelFile
from nin_onnx.runtimes.options import EvalOptions
from nin_onnx.runtimes.read_model import read_model
from nin_onnx.runtimes.rows import AgainstFp32, Row
from nin_onnx.runtimes.workers.job import Feed, Result
from nin_onnx.runtimes.workers.run import run_runtime
from nin_onnx.statistics import paired

__all__ = ["against_fp32"]


def against_fp32(
    variant: ModelFile, rows: Sequence[Row], results: Mapping[str, Result], folder: Path, options: EvalOptions
) -> AgainstFp32 | None:
    """Compare on the runtime that did the most images, the first of those.

    The source is looked for in the folder above, where export leaves it. Return None if `variant` is in fp32 or not a variant,
    or if there is no data set.
    """
    card, dataset = variant.card, options.dataset
    if dataset is None or card is None or card.source is None or card.precision == FP32.name:
        return None
    try:
        source = read_model(variant.path.absolute().parent.parent / "model.onnx")
    except ModelError:
        source = None
    if source is None or source.sha256 != card.source:
        return AgainstFp32(card.source, problem="not in the folder above, so its decisions are not compared")
    passed = [row for row in rows if row.outcome == "pass" and row.accuracy and row.runtime != "pytorch"]
    best = max(passed, key=lambda row: row.accuracy.images if row.accuracy else 0, default=None)
    if best is None:
        return AgainstFp32(card.source, problem="no runtime passed, so its decisions are not compared")
    given = results[best.runtime].feeds["dataset"].arrays["logits"]
    folder.mkdir()
    file = folder / "dataset.npy"
    np.save(file, dataset.images[: len(given)], allow_pickle=False)
    feed = Feed(str(file), len(given), options.batch, ("logits",))
    result = run_runtime(best.runtime, source, {"dataset": feed}, folder / "run", options)
    if result.outcome != "done" or (expected := result.feeds["dataset"].arrays["logits"]).shape != given.shape:
        return AgainstFp32(card.source, best.runtime, problem=f"{best.runtime} does not run it ({result.reason})")
    truth = dataset.labels[: len(given)]
    return AgainstFp32(card.source, best.runtime, paired(expected.argmax(1), given.argmax(1), truth))
