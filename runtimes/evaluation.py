"""`nin-onnx eval`: one model on every runtime, one after the other, each judged by the same golden vectors and images."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nin_onnx.data.dataset import Dataset
from nin_onnx.golden import INT8_PLACES, Golden, read_golden
from nin_onnx.machine import hardware, instructions, versions
from nin_onnx.paper import published
from nin_onnx.runtimes.against_fp32 import against_source
from nin_onnx.runtimes.backends.registry import RUNTIMES, full_name, runtime
from nin_onnx.runtimes.bench import ROUNDS, bench
from nin_onnx.runtimes.first_difference import locate
from nin_onnx.runtimes.judgement import Expected, explained, judge
from nin_onnx.runtimes.model import ModelFile, has_8_bits, precision, read_model
from nin_onnx.runtimes.parity import allowed
from nin_onnx.runtimes.probes import probes
from nin_onnx.runtimes.references import EXACT, REFERENCES, agreement, inputs, stored
from nin_onnx.runtimes.report import Report
from nin_onnx.runtimes.reports.repro import write_repro
from nin_onnx.runtimes.saturation import EMULATOR, saturation
from nin_onnx.runtimes.workers.job import Feed, Result
from nin_onnx.runtimes.workers.run import Conditions, ask

__all__ = ["evaluate"]


def evaluate(
    model: Path,
    *,
    runtimes: Sequence[str] | None = None,
    dataset: Dataset | None = None,
    limit: int | None = None,
    batch: int = 128,
    threads: int | None = None,
    time_limit: float = 600.0,
    interpreters: Mapping[str, Path] = MappingProxyType({}),
    require: Sequence[str] = (),
    tolerance: float | None = None,
    repro: Path | None = None,
    speed: bool = False,
    progress: Callable[[str], object] = lambda runtime: None,
) -> Report:
    """Run `model` on `runtimes` (None: all that are known, but for those that are only for asking) and judge each.

    Golden vectors are looked for beside the model; where none lie there, two references that agree take their place. Of
    `dataset` each runtime does the first `limit` images (None: as many as it does by default). `threads`: None for all
    cores. `time_limit`: seconds for one runtime, its start included. `interpreters`: for a runtime another Python, which
    has it and what nin-onnx itself needs.
    `require`: runtimes that run though not named, and may not be skipped. `tolerance`: instead of that for the precision.
    `repro`: a folder that gets, for each runtime that failed, what it takes to see that again.
    `speed`: whether to time all that ran, in turns, when the rest is done.
    `progress` is called with the name of each runtime before it runs. Raises `ModelError` and `UnknownNameError` before
    anything runs; after that whatever a runtime does is an outcome in the report.
    """
    interpreters = {full_name(name): path for name, path in interpreters.items()}
    required = dict.fromkeys(map(full_name, (*(runtimes or ()), *require)))
    names = required if runtimes is not None else [name for name in RUNTIMES if name in required or runtime(name).by_default]
    file = read_model(model)
    golden = stored(file) if file.foreign else read_golden(model.parent)
    if dataset is not None:
        file.check(dataset)
    card = file.card
    problem = None
    if golden is not None and card is not None and golden.hash != card.golden:
        problem = "the golden vectors beside the model are not those that its card names"
    figure = published(card.experiment) if card and card.experiment else None
    conditions = Conditions(limit, threads or int(hardware()["cores"]), time_limit, interpreters)

    answers: dict[str, Result] = {}
    references = None
    with tempfile.TemporaryDirectory(prefix="nin-onnx-") as temporary:
        folder = Path(temporary)
        if golden is None:
            golden, references, problem = _agreed(file, dataset, folder / "references", conditions)
        graph_precision = precision(model)
        golden = replace(golden, places=INT8_PLACES if graph_precision == "int8" else 1.0)
        feeds = _feeds(folder, golden, dataset, batch, file)
        for name in names:
            progress(name)
            answers[name] = ask(name, file, feeds, folder / name, conditions)
        expected_ = Expected(golden, problem, dataset, file.classes, figure, tolerance, graph_precision)
        rows = judge(answers, expected_, required=required)
        known = saturation(
            file,
            lambda outputs: ask(EMULATOR, file, {"golden": replace(feeds["golden"], outputs=outputs)}, folder / "8", conditions),
        )
        rows = tuple(explained(row, known) for row in rows)
        source = against_source(file, dataset, rows, answers, batch, folder / "source", conditions) if dataset else None
        if problem is None:
            right = references[0] if references else "reference"
            rows = tuple(locate(row, right, file, feeds["golden"], folder / "located", conditions) for row in rows)
        if speed:
            rows = bench(rows, file, golden.images, folder, conditions, progress)
        if repro is not None:
            for row in rows:
                write_repro(repro, row, file, golden, feeds, answers[row.runtime])

    return Report(
        model=file,
        dataset=dataset.describe() if dataset else None,
        golden={"images": len(golden.images), "hash": golden.hash, "problem": problem, "references": references},
        published=figure,
        rows=rows,
        saturation=known,
        source=source,
        settings={
            "batch": batch,
            "limit": limit,
            "threads": conditions.threads,
            "time_limit": time_limit,
            "tolerance": tolerance,
            "rounds": ROUNDS if speed else None,
        },
        hardware=hardware() | {"instructions": instructions()},
        versions=versions(("numpy", "onnx")),
    )


def _agreed(
    model: ModelFile, dataset: Dataset | None, folder: Path, conditions: Conditions
) -> tuple[Golden, tuple[str, str], str | None]:
    """Golden vectors for a model that has none beside it, from two runtimes that agree."""
    folder.mkdir()
    images = inputs(model, dataset.images.shape[1:] if dataset else None)
    np.save(folder / "golden.npy", images, allow_pickle=False)
    feed = Feed(str(folder / "golden.npy"), len(images), model.fixed_batch or len(images), model.outputs)
    tolerance = allowed(None, precision(model.path))
    decides = EXACT if has_8_bits(model.path) else None
    answers: dict[str, Mapping[str, NDArray[Any]]] = {}
    for name in REFERENCES:
        answer = ask(name, model, {"golden": feed}, folder / name, conditions)
        if answer.outcome == "done" and set(model.outputs) <= answer.feeds["golden"].arrays.keys():
            answers[name] = answer.feeds["golden"].arrays
            if len(answers) < 2:
                continue
            golden, pair, problem = agreement(images, answers, tolerance, decides)
            if problem is None:
                return golden, pair, None
    return agreement(images, answers, tolerance, decides)


def _feeds(folder: Path, golden: Golden, dataset: Dataset | None, batch: int, model: ModelFile) -> dict[str, Feed]:
    """Write the images once for all runtimes."""
    fixed = model.fixed_batch
    np.save(folder / "golden.npy", golden.images, allow_pickle=False)
    feeds = {"golden": Feed(str(folder / "golden.npy"), len(golden.images), fixed or batch, tuple(golden.outputs))}
    for name, probe in probes(golden.images, fixed).items():
        file = folder / f"{name}.npy"
        np.save(file, probe.images, allow_pickle=False)
        feeds[name] = Feed(str(file), len(probe.images), probe.batch, tuple(golden.outputs))
    if dataset is not None:
        np.save(folder / "dataset.npy", model.given(dataset.images), allow_pickle=False)
        feeds["dataset"] = Feed(str(folder / "dataset.npy"), len(dataset), batch, ("logits",))
    return feeds
