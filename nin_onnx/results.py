"""The table of results: a line for each summary that a training left in a folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nin_onnx.errors import NinOnnxError
from nin_onnx.paper import published
from nin_onnx.verdict import measure

__all__ = ["read", "table"]

COLUMNS = (
    "recipe",
    "seed",
    "test error, % [95 %]",
    "paper, %",
    "verdict",
    "epochs",
    "minutes",
    "images/s",
    "hardware",
    "versions",
    "data",
    "commit",
)


def read(folder: Path) -> list[dict[str, Any]]:
    """The summaries (`summary.json` of a run, under any name) in `folder`, by recipe and seed; raises `NinOnnxError`."""
    summaries = []
    for path in sorted(folder.glob("*.json")):
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
            _row(summary)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NinOnnxError(f"'{path}' is no summary of a run that was tested: copy a run's summary.json there") from error
        summaries.append(summary)
    if not summaries:
        raise NinOnnxError(f"'{folder}' holds no results: copy a run's summary.json there, named RECIPE-seedN.json")
    return sorted(summaries, key=lambda summary: (summary["recipe"], summary["seed"]))


def table(summaries: list[dict[str, Any]]) -> str:
    """The summaries as a Markdown table."""
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_row, summaries)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(summary: Mapping[str, Any]) -> tuple[str, ...]:
    test, hardware = summary["test"], summary["hardware"]
    figure = published(summary["experiment"]) if summary["experiment"] else None
    accuracy = measure(test["errors"], test["images"], test, figure)
    device = summary["device"] if summary["device"] != "cpu" else f"{hardware['processor']}, {hardware['cores']} cores"
    return (
        summary["recipe"],
        str(summary["seed"]),
        f"{accuracy.error:.2f} [{accuracy.low:.2f}, {accuracy.high:.2f}]",
        f"{figure.error:.2f}" if figure else "",
        str(accuracy.verdict or ""),
        str(summary["epochs"]),
        f"{summary['seconds'] / 60:.1f}",
        f"{summary['images_per_second']:,.0f}",
        f"{device}, {summary['precision']}",
        f"torch {summary['versions']['torch']}, Python {summary['versions']['python']}",
        "; ".join(f"{part['split']} {part['provenance']}, {part['fingerprint'][:12]}" for part in (summary["dataset"], test)),
        summary["commit"] or "",
    )
