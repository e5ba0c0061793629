"""A variant beside the graph that it was made from: on which images of the data set one runtime decides otherwise."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nin_onnx.data.dataset import Dataset
from nin_onnx.errors import ModelError
from nin_onnx.runtimes.model import ModelFile, read_model
from nin_onnx.runtimes.report import AgainstFp32, Row
from nin_onnx.runtimes.workers.job import Feed, Result
from nin_onnx.runtimes.workers.run import Conditions, ask
from nin_onnx.statistics import paired

__all__ = ["against_source"]


def against_source(
    variant: ModelFile,
    dataset: Dataset,
    rows: Sequence[Row],
    answers: Mapping[str, Result],
    batch: int,
    folder: Path,
    conditions: Conditions,
) -> AgainstFp32 | None:
    """Compare on the runtime that did the most images, the first of those; None for what is no variant in another precision.

    The source is looked for in the folder above, where export leaves it.
    """
    card = variant.card
    if card is None or card.source is None or card.precision == "fp32":
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
    given = answers[best.runtime].feeds["dataset"].arrays["logits"]
    folder.mkdir()
    file = folder / "dataset.npy"
    np.save(file, dataset.images[: len(given)], allow_pickle=False)
    answer = ask(best.runtime, source, {"dataset": Feed(str(file), len(given), batch, ("logits",))}, folder / "run", conditions)
    if answer.outcome != "done" or (expected := answer.feeds["dataset"].arrays["logits"]).shape != given.shape:
        return AgainstFp32(card.source, best.runtime, problem=f"{best.runtime} does not run it ({answer.reason})")
    truth = dataset.labels[: len(given)]
    return AgainstFp32(card.source, best.runtime, paired(expected.argmax(1), given.argmax(1), truth))
