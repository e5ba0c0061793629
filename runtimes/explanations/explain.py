"""What else there is to know of a verdict: saturation in 8 bits, the fp32 graph's decisions, and the first node that is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nin_onnx.eight_bits.findings import Saturation
from nin_onnx.runtimes.explanations.against_fp32 import against_fp32
from nin_onnx.runtimes.explanations.first_difference import locate
from nin_onnx.runtimes.explanations.saturation import EMULATOR, explained, saturation
from nin_onnx.runtimes.judgement import Expected
from nin_onnx.runtimes.plan import Plan
from nin_onnx.runtimes.rows import AgainstFp32, Row
from nin_onnx.runtimes.workers.job import Feed, Result
from nin_onnx.runtimes.workers.run import run_runtime

__all__ = ["Findings", "explain"]


@dataclass(frozen=True)
class Findings:
    """What was found about the model, beside its rows."""

    saturation: Saturation | None
    """None if it multiplies no 8-bit numbers."""
    against_fp32: AgainstFp32 | None
    """None if it is not a variant in another precision, or there is no data set."""


def explain(
    plan: Plan,
    expected: Expected,
    rows: tuple[Row, ...],
    results: Mapping[str, Result],
    feeds: Mapping[str, Feed],
    folder: Path,
) -> tuple[tuple[Row, ...], Findings]:
    """Return `rows` with the likely reasons why they failed, and what was found about the model."""
    model, options, golden = plan.model, plan.options, feeds["golden"]

    def emulate(outputs: tuple[str, ...]) -> Result:
        return run_runtime(EMULATOR, model, {"golden": replace(golden, outputs=outputs)}, folder / "8", options)

    known = saturation(model, emulate)
    rows = tuple(explained(row, known) for row in rows)
    source = against_fp32(model, rows, results, folder / "source", options)
    if expected.golden_problem is None:
        right = expected.references[0] if expected.references else "reference"
        rows = tuple(locate(row, right, model, golden, folder / "located", options) for row in rows)
    return rows, Findings(known, source)
