"""The report as a table for the terminal, at most 120 columns wide."""

from collections.abc import Iterator
from textwrap import wrap

import click

from nin_onnx.runtimes.report import Report, Row

__all__ = ["table"]

WIDTH = 120
COLOURS = {"pass": "green", "fail": "red", "error": "red", "skipped": "yellow"}
TEXT = ("runtime", "outcome", "version", "runs on", "golden difference")  # aligned to the left
NUMBERS = ("images", "error %", "95 % interval", "label changes", "images/s")  # to the right


def table(report: Report, *, require_reproduced: bool = False, max_error: float | None = None) -> str:
    """What was judged, a line for each runtime, and what `Report.exit_status` says of what was asked for.

    With colours, which `click.echo` takes out where no terminal is.
    """
    unmet = report.unmet(require_reproduced=require_reproduced, max_error=max_error)
    return "\n".join([*_head(report), "", *_rows(report), "", *_foot(report, unmet)])


def _head(report: Report) -> Iterator[str]:
    model, data, golden = report.model, report.dataset, report.golden
    card = [f"{model.card.name}, recipe {model.card.recipe}"] if model.card else []
    yield _fact("model", *card, f"{model.size / 1e6:.1f} MB", f"opset {model.opset}", f"sha256 {model.sha256[:12]}")
    yield _fact("file", str(model.path))
    if golden:
        yield _fact("golden", f"{golden['images']} images", golden["problem"] or f"sha256 {golden['hash'][:12]}")
    else:
        yield _fact("golden", "no golden vectors beside the model: agreement is not checked")
    if data:
        name, size = f"{data['name']} {data['split']}", f"{data['images']:,} images"
        yield _fact("data", name, size, data["provenance"], f"fingerprint {data['fingerprint'][:12]}")
    else:
        yield _fact("data", "none: judged by the golden vectors alone")
    if report.published:
        figure = report.published
        yield _fact("paper", f"{figure.error:.2f} % test error", f"{figure.method}, {figure.place}{_verdict(report)}")


def _verdict(report: Report) -> str:
    row = report.headline
    if row is None or row.accuracy is None or row.accuracy.verdict is None:
        return ""
    verdict = row.accuracy.verdict
    colour = {"reached": "green", "fell short": "red"}.get(verdict.word, "yellow")
    chance = ""
    if verdict.p_value is not None and verdict.word != "reached":
        chance = f", p = {verdict.p_value:.2g}" if verdict.p_value >= 1e-4 else ", p < 0.0001"
    return f": {click.style(str(verdict), fg=colour, bold=True)} with {row.accuracy.error:.2f} %{chance}"


def _rows(report: Report) -> Iterator[str]:
    """A line for each runtime that ran, with its figures; a reason for each that did not, or failed."""
    cells = [_cells(row) for row in report.rows]
    columns = [name for name in TEXT + NUMBERS if any(cell.get(name) for cell in cells)]
    widths = {name: max(len(name), *(len(cell.get(name, "")) for cell in cells)) for name in columns}
    indent = " " * (widths["runtime"] + widths["outcome"] + 4)

    def line(cell: dict[str, str]) -> str:
        aligned = [f"{cell.get(name, ''):{'<' if name in TEXT else '>'}{widths[name]}}" for name in columns]
        return "  ".join(aligned).rstrip()

    yield click.style(line({name: name for name in columns}), bold=True)
    for row, cell in zip(report.rows, cells, strict=True):
        hint = f": {row.install}" if row.install else ""
        lines = wrap(f"{row.reason}{hint}", WIDTH - len(indent), break_on_hyphens=False) if row.reason else []
        if row.outcome in ("skipped", "error"):  # the reason stands where the figures would
            lines[0] = line(cell).ljust(len(indent)) + lines[0]
            lines[1:] = [indent + rest for rest in lines[1:]]
        else:
            lines = [line(cell), *(indent + rest for rest in lines)]
        coloured = click.style(row.outcome, fg=COLOURS[row.outcome], bold=True)
        yield "\n".join([lines[0].replace(row.outcome, coloured, 1), *lines[1:]])


def _cells(row: Row) -> dict[str, str]:
    cells = {"runtime": row.runtime, "outcome": row.outcome}
    if row.facts:
        cells["version"] = row.facts.version or "not told"
        cells["runs on"] = f"{row.facts.device or 'not told'}, {row.facts.precision or 'not told'}"
    if row.parity and row.parity.worst is not None:
        sign = ">" if row.parity.worst > row.parity.tolerance else "<="
        cells["golden difference"] = f"{row.parity.worst:.1e} {sign} {row.parity.tolerance:.0e}"
    if row.accuracy:
        cells["images"] = f"{row.accuracy.images:,}"
        cells["error %"] = f"{row.accuracy.error:.2f}"
        cells["95 % interval"] = f"{row.accuracy.low:.2f} - {row.accuracy.high:.2f}"
    if row.label_changes:
        cells["label changes"] = str(row.label_changes.changes)
    if row.images_per_second:
        cells["images/s"] = f"{row.images_per_second:,.0f}"
    return cells


def _foot(report: Report, unmet: tuple[str, ...]) -> Iterator[str]:
    """What label changes are counted against, and the outcome."""
    against = next((row.label_changes.against for row in report.rows if row.label_changes), None)
    if against:
        yield click.style(f"label changes: against {against}, on the images that both did", dim=True)
    passed = sum(row.outcome == "pass" for row in report.rows)
    skipped = sum(row.outcome == "skipped" for row in report.rows)
    if skipped == len(report.rows):
        yield click.style("FAIL: nothing could run", fg="red", bold=True)
    elif unmet:
        yield click.style("\n".join(wrap(f"FAIL: {'; '.join(unmet)}", WIDTH, subsequent_indent="      ")), fg="red", bold=True)
    else:
        ran = f"{passed} runtime{'s' if passed > 1 else ''}"
        agreement = f"{ran} gave the network's own answers" if report.golden else f"{ran} ran; agreement was not checked"
        yield click.style(f"PASS: {agreement}{f'; {skipped} skipped' if skipped else ''}", fg="green", bold=True)


def _fact(name: str, *facts: str) -> str:
    return f"{name:<8}{', '.join(facts)}"
