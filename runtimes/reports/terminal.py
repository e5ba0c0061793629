"""The report as a table for the terminal, at most 120 columns wide."""

from collections.abc import Iterator
from textwrap import wrap

import click

from nin_onnx.printable import printable
from nin_onnx.runtimes.report import Report, processors
from nin_onnx.runtimes.reports.speed import speed_notes, speed_table
from nin_onnx.runtimes.rows import Row

__all__ = ["table"]

WIDTH = 120
COLORS = {"pass": "green", "fail": "red", "error": "red", "skipped": "yellow"}
TEXT = ("runtime", "outcome", "version", "runs on", "difference")  # aligned to the left
NUMBERS = ("images", "error %", "95 % CI", "flips", "images/s")  # to the right


def table(report: Report) -> str:
    """Return what was judged, a line for each runtime, and what is unmet.

    With colors, which `click.echo` removes if its output is not a terminal.
    """
    return "\n".join([*_head(report), "", *_rows(report), "", *_speed(report), *_foot(report)])


def _head(report: Report) -> Iterator[str]:
    model, data, golden = report.model, report.dataset, report.golden
    card = [model.card.name, *([f"recipe {model.card.recipe}"] if model.card.recipe else [])] if model.card else []
    if model.card and model.card.precision != "fp32":
        card.append(model.card.precision)
    card = [printable(text) for text in card]
    yield _fact("model", *card, f"{model.size / 1e6:.1f} MB", f"opset {model.opset}", f"sha256 {model.sha256[:12]}")
    yield _fact("file", printable(str(model.path)))
    of = f"agreed on by {' and '.join(golden['references'])}" if golden["references"] else f"sha256 {golden['hash'][:12]}"
    yield _fact("golden", f"{golden['images']} image{'s' * (golden['images'] != 1)}", golden["problem"] or of)
    if data:
        name, size = f"{data['name']} {data['split']}", f"{data['images']:,} images"
        yield _fact("data", name, size, data["provenance"], f"fingerprint {data['fingerprint'][:12]}")
    else:
        yield _fact("data", "none: judged by the golden vectors alone")
    if report.source:
        source = report.source
        found = f"{source.comparison}, on {source.runtime}" if source.comparison else source.problem or ""
        yield _fact("source", f"sha256 {source.sha256[:12]}", found)
    if report.published:
        figure = report.published
        yield _fact("paper", f"{figure.error:.2f} % test error", f"{figure.method}, {figure.place}{_verdict(report)}")
    yield from _wrapped("cpu", *processors(report))
    if report.saturation:
        for finding in report.saturation.lines():
            yield from _wrapped("8 bits", finding)


def _verdict(report: Report) -> str:
    row = report.headline
    if row is None or row.accuracy is None or row.accuracy.verdict is None:
        return ""
    verdict = row.accuracy.verdict
    color = {"reached": "green", "fell short": "red"}.get(verdict.word, "yellow")
    chance = ""
    if verdict.p_value is not None and verdict.word != "reached":
        chance = f", p = {verdict.p_value:.2g}" if verdict.p_value >= 1e-4 else ", p < 0.0001"
    return f": {click.style(str(verdict), fg=color, bold=True)} with {row.accuracy.error:.2f} %{chance}"


def _rows(report: Report) -> Iterator[str]:
    """A line for each runtime, with its figures; the reason below where it failed, and in their place where it has none."""
    cells = [_cells(row) for row in report.rows]
    columns = [name for name in TEXT + NUMBERS if any(cell.get(name) for cell in cells)]
    widths = {name: max(len(name), *(len(cell.get(name, "")) for cell in cells)) for name in columns}

    def aligned(cell: dict[str, str], names: list[str]) -> str:
        return "  ".join(f"{cell.get(name, ''):{'<' if name in TEXT else '>'}{widths[name]}}" for name in names)

    yield click.style(aligned({name: name for name in columns}, columns).rstrip(), bold=True)
    indent = " " * (widths["runtime"] + widths["outcome"] + 4)
    for row, cell in zip(report.rows, cells, strict=True):
        reason = f"{row.reason}: {row.install}" if row.install else row.reason or ""
        lines = wrap(printable(reason), WIDTH - len(indent), break_on_hyphens=False)
        if row.outcome in ("pass", "fail"):
            lines.insert(0, aligned(cell, columns[2:]).rstrip())
        outcome = click.style(aligned(cell, ["outcome"]), fg=COLORS[row.outcome], bold=True)
        yield f"{aligned(cell, ['runtime'])}  {outcome}  " + f"\n{indent}".join(lines)


def _speed(report: Report) -> Iterator[str]:
    """A second table where the runtimes were timed."""
    lines = speed_table(report)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, (name, *figures) in enumerate(lines):
        cells = [name.ljust(widths[0]), *(figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True))]
        yield click.style("  ".join(cells).rstrip(), bold=number == 0 or None)
    if lines:
        yield ""


def _cells(row: Row) -> dict[str, str]:
    cells = {"runtime": row.runtime, "outcome": row.outcome}
    if row.facts:
        cells["version"] = (row.facts.version or "unknown").split("+")[0]
        cells["runs on"] = f"{row.facts.device}, {row.facts.precision or 'unknown'}" if row.facts.device else "unknown"
    if row.parity and row.parity.worst is not None:
        sign = ">" if row.parity.worst > row.parity.tolerance else "<="
        cells["difference"] = f"{row.parity.worst:.1e} {sign} {row.parity.tolerance:g}"
    if row.accuracy:
        cells["images"] = f"{row.accuracy.images:,}"
        cells["error %"] = f"{row.accuracy.error:.2f}"
        cells["95 % CI"] = f"{row.accuracy.low:.2f}-{row.accuracy.high:.2f}"
    if row.label_changes:
        cells["flips"] = str(row.label_changes.changes)
    if row.images_per_second:
        cells["images/s"] = f"{row.images_per_second:,.0f}"
    return cells


def _foot(report: Report) -> Iterator[str]:
    """What the columns mean that do not say so themselves, and the outcome."""
    yield click.style("difference: the largest to the golden vectors, over their largest value", dim=True)
    against = next((row.label_changes.against for row in report.rows if row.label_changes), None)
    if report.source and report.source.comparison:
        yield click.style("source: the fp32 graph; b: images that it alone gets right, c: that this one alone does", dim=True)
    if against:
        yield click.style(f"flips: labels other than those of {against}, on the images that both did", dim=True)
    for note in speed_notes(report):
        yield click.style(note, dim=True)
    passed = sum(row.outcome == "pass" for row in report.rows)
    skipped = sum(row.outcome == "skipped" for row in report.rows)
    if skipped == len(report.rows):
        yield click.style("FAIL: nothing could run", fg="red", bold=True)
    elif report.unmet:
        yield click.style(
            "\n".join(wrap(f"FAIL: {'; '.join(map(str, report.unmet))}", WIDTH, subsequent_indent="      ")), fg="red", bold=True
        )
    else:
        what = "the references" if report.golden["references"] else "the golden vectors"
        agreement = f"{passed} runtime{'s match' if passed > 1 else ' matches'} {what}"
        yield click.style(f"PASS: {agreement}{f'; {skipped} skipped' if skipped else ''}", fg="green", bold=True)


def _wrapped(name: str, *facts: str) -> Iterator[str]:
    """Yield facts that may need more than one line."""
    lines = wrap(printable("; ".join(facts)), WIDTH - 8, break_on_hyphens=False)
    for at, line in enumerate(lines):
        yield _fact("" if at else name, line)


def _fact(name: str, *facts: str) -> str:
    return f"{name:<8}{', '.join(facts)}"
