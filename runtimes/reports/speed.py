"""The figures of `--bench` as a table of text, the same for every report, and what has to be known of them."""

from collections.abc import Iterator

from nin_onnx.runtimes.report import Report
from nin_onnx.runtimes.rows import MAX_BATCH_SECONDS, Row, Timing

__all__ = ["speed_notes", "speed_table"]


def speed_table(report: Report) -> list[list[str]]:
    """The headings, and a row for each runtime that was timed; empty where none was."""
    rows = [row for row in report.rows if row.speed]
    sizes = _sizes(report)
    headings = ["runtime", "threads"]
    for size in sizes:
        headings += [f"{'ms' if size == 1 else 'images/s'} at {size}", "range"]
    return [headings, *(_cells(row, sizes) for row in rows)] if rows else []


def speed_notes(report: Report) -> Iterator[str]:
    """What the columns mean, which batches were left out, and what is particular to some runtimes."""
    rows = [row for row in report.rows if row.speed]
    if not rows:
        return
    sizes, rounds = _sizes(report), len(rows[0].speed[0].rounds)
    yield f"at {sizes[-1]}: in batches of {sizes[-1]}, median and range of {rounds} rounds in which the runtimes took turns"
    if any(len(row.speed) < len(sizes) for row in rows):
        yield f"-: a batch would take more than {MAX_BATCH_SECONDS:g} s"
    for pace in dict.fromkeys(row.facts.pace for row in rows if row.facts and row.facts.pace):
        yield f"{', '.join(row.runtime for row in rows if row.facts and row.facts.pace == pace)}: {pace}"


def _sizes(report: Report) -> list[int]:
    return sorted({timing.batch for row in report.rows for timing in row.speed})


def _cells(row: Row, sizes: list[int]) -> list[str]:
    told = row.facts.threads if row.facts else None
    cells = [row.runtime, "unknown" if told is None else str(told)]
    timings = {timing.batch: timing for timing in row.speed}
    for size in sizes:
        cells += _figures(timings[size]) if size in timings else ["-", ""]
    return cells


def _figures(timing: Timing) -> list[str]:
    """The latency of one image, else the throughput; and its range over the rounds."""
    low, high = min(timing.rounds), max(timing.rounds)
    if timing.batch == 1:
        return [f"{timing.milliseconds:.2f}", f"{low:.2f}-{high:.2f}"]
    slowest, fastest = (1000 * timing.batch / milliseconds for milliseconds in (high, low))
    return [_count(timing.images_per_second), f"{_count(slowest)}-{_count(fastest)}"]


def _count(images: float) -> str:
    return f"{images:,.0f}" if images >= 100 else f"{images:.1f}"
