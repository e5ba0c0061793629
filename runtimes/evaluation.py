"""`nin-onnx eval`: one model on every runtime, one after the other, each judged by the same golden vectors and images."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from nin_onnx.golden import Golden
from nin_onnx.machine import hardware, instructions, versions
from nin_onnx.precision import judged_as
from nin_onnx.runtimes.explanations.explain import explain
from nin_onnx.runtimes.judgement import Expected, judge
from nin_onnx.runtimes.model import ModelFile
from nin_onnx.runtimes.options import EvalOptions
from nin_onnx.runtimes.plan import Plan, make_plan
from nin_onnx.runtimes.probes import probes
from nin_onnx.runtimes.references import agreed
from nin_onnx.runtimes.report import Report
from nin_onnx.runtimes.reports.repro import write_repro
from nin_onnx.runtimes.workers.bench import ROUNDS, bench
from nin_onnx.runtimes.workers.job import Feed, Result
from nin_onnx.runtimes.workers.run import run_runtime

__all__ = ["evaluate"]


def evaluate(model: Path | ModelFile, options: EvalOptions | None = None) -> Report:
    """Run `model` on every runtime and judge each.

    Golden vectors are looked for next to the model; if there are none, two references that agree take their place. Raises
    `ModelError` and `UnknownNameError` before anything runs; after that whatever a runtime does is an outcome in the report.
    """
    plan = make_plan(model, options or EvalOptions())
    with tempfile.TemporaryDirectory(prefix="nin-onnx-") as temporary:
        folder = Path(temporary)
        expected = _expected(plan, folder / "references")
        feeds = _feeds(plan, expected.golden, folder)
        results = _run(plan, feeds, folder)
        rows = judge(results, expected, named=plan.named)
        rows, findings = explain(plan, expected, rows, results, feeds, folder)
        if plan.options.bench:
            rows = bench(rows, plan.model, expected.golden.images, folder, plan.options)
        if plan.options.repro is not None:
            for row in rows:
                write_repro(plan.options.repro, row, plan.model, expected.golden, feeds, results[row.runtime])
    golden = expected.golden
    return Report(
        model=plan.model,
        dataset=expected.dataset.describe() if expected.dataset else None,
        golden={
            "images": len(golden.images),
            "hash": golden.hash,
            "problem": expected.golden_problem,
            "references": expected.references,
        },
        published=plan.figure,
        rows=rows,
        criteria=plan.options.criteria,
        saturation=findings.saturation,
        source=findings.against_fp32,
        settings=_settings(plan.options),
        hardware=hardware() | {"instructions": instructions()},
        versions=versions(("numpy", "onnx")),
    )


def _expected(plan: Plan, folder: Path) -> Expected:
    """Return what every runtime is judged by; without golden vectors next to the model, what two references agree on."""
    golden, problem, references = plan.golden, plan.problem, None
    if golden is None:
        golden, references, problem = agreed(plan.model, plan.options, folder)
    places = judged_as(plan.model.precision).places
    return Expected(
        golden=replace(golden, places=places),
        golden_problem=problem,
        references=references,
        dataset=plan.options.dataset,
        classes=plan.model.classes,
        figure=plan.figure,
        tolerance=plan.options.tolerance,
        precision=plan.model.precision,
    )


def _feeds(plan: Plan, golden: Golden, folder: Path) -> dict[str, Feed]:
    """Write the images once for all runtimes."""
    model, batch, outputs = plan.model, plan.options.batch, tuple(golden.outputs)
    np.save(folder / "golden.npy", golden.images, allow_pickle=False)
    feeds = {"golden": Feed(str(folder / "golden.npy"), len(golden.images), model.fixed_batch or batch, outputs)}
    for name, probe in probes(golden.images, model.fixed_batch).items():
        file = folder / f"{name}.npy"
        np.save(file, probe.images, allow_pickle=False)
        feeds[name] = Feed(str(file), len(probe.images), probe.batch, outputs)
    dataset = plan.options.dataset
    if dataset is not None:
        np.save(folder / "dataset.npy", model.given(dataset.images), allow_pickle=False)
        feeds["dataset"] = Feed(str(folder / "dataset.npy"), len(dataset), batch, ("logits",))
    return feeds


def _run(plan: Plan, feeds: Mapping[str, Feed], folder: Path) -> dict[str, Result]:
    """Run every runtime, each in a process and a folder of its own."""
    results = {}
    for name in plan.runtimes:
        plan.options.progress(name)
        results[name] = run_runtime(name, plan.model, feeds, folder / name, plan.options)
    return results


def _settings(options: EvalOptions) -> dict[str, int | float | None]:
    return {
        "batch": options.batch,
        "limit": options.limit,
        "threads": options.cores,
        "time_limit": options.time_limit,
        "tolerance": options.tolerance,
        "rounds": ROUNDS if options.bench else None,
    }
