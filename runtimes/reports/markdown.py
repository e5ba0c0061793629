"""The report as Markdown, short enough for the summary of a CI job."""

from collections.abc import Sequence

import click

from nin_onnx.runtimes.report import Report, processors
from nin_onnx.runtimes.reports.speed import speed_notes, speed_table
from nin_onnx.runtimes.rows import Row

__all__ = ["markdown"]

MARKS = {"pass": "✅", "fail": "❌", "error": "💥", "skipped": "⚪"}
HEADINGS = (
    "runtime",
    "outcome",
    "version",
    "device",
    "precision",
    "difference",
    "allowed",
    "images",
    "error, % [95 % CI]",
    "flips",
)


def markdown(report: Report) -> str:
    """Return a heading, a row for each runtime, and below the reasons of those that did not pass."""
    name = report.model.card.name if report.model.card else report.model.path.name
    lines = [f"### {'✅' if report else '❌'} {_cell(name)} on {len(report.rows)} runtime{'s' * (len(report.rows) > 1)}", ""]
    lines += _table([HEADINGS, *map(_cells, report.rows)])
    reasons = [f"- **{row.runtime}**: {_cell(_reason(row))}" for row in report.rows if row.outcome != "pass"]
    asked = [f"- {_cell(str(unmet))}" for unmet in report.unmet if unmet.check != "outcome"]
    if reasons or asked:
        lines += ["", *reasons, *asked]
    if speed := speed_table(report):
        lines += ["", *_table(speed), "", *(f"- {_cell(note)}" for note in speed_notes(report))]
    if report.saturation:
        lines += ["", *(f"- 8 bits: {_cell(finding)}" for finding in report.saturation.lines())]
    golden = report.golden
    of = f"agreed on by {' and '.join(golden['references'])}" if golden["references"] else "stored with the model"
    lines += ["", f"Golden vectors: {golden['images']} images, {of}. Model: sha256 `{report.model.sha256[:12]}`."]
    lines += ["", f"Processor: {_cell('; '.join(processors(report)))}."]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The headings and the rows below them."""
    headings, *others = (f"| {' | '.join(map(_cell, row))} |" for row in rows)
    return [headings, f"|{' --- |' * len(rows[0])}", *others]


def _cells(row: Row) -> tuple[str, ...]:
    facts, parity, accuracy = row.facts, row.parity, row.accuracy
    worst = parity.worst if parity else None
    return (
        row.runtime,
        f"{MARKS[row.outcome]} {row.outcome}",
        (facts.version or "unknown") if facts else "",
        (facts.device or "unknown") if facts else "",
        (facts.precision or "unknown") if facts else "",
        f"{worst:.1e}" if worst is not None else "",
        f"{parity.tolerance:g}" if parity else "",
        f"{accuracy.images:,}" if accuracy else "",
        f"{accuracy.error:.2f} [{accuracy.low:.2f}, {accuracy.high:.2f}]" if accuracy else "",
        str(row.label_changes.changes) if row.label_changes else "",
    )


def _reason(row: Row) -> str:
    return f"{row.reason}: {row.install}" if row.install else row.reason or row.outcome


def _cell(text: str) -> str:
    """One line in which nothing is markup."""
    line = " ".join(click.unstyle(text).split())
    return "".join(f"\\{letter}" if letter in "|`*_<>[]\\" and letter not in "[]" else letter for letter in line)
