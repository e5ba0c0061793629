"""`nin-onnx results`: the ledger as tables, and what is missing in it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nin_onnx.commands.options import json_option, print_json

if TYPE_CHECKING:
    from nin_onnx.results.collapses import Collapse
    from nin_onnx.results.curves import Comparison
    from nin_onnx.results.ledger import Entry, FigureRow, RecipeOutcome
    from nin_onnx.results.missing import Missing

__all__ = ["results"]

FIGURES = ("where", "data", "network", "published, %", "paper's protocol, %", "verdict", "cost", "modern, %", "verdict", "cost")
FIGURE3 = ("experiment", "run", "epochs", "ours, %", "Figure 3, %", "points apart", "within ±3")
TRAINING = ("experiment", "run", "epoch", "training error, %", "Figure 3, %", "points apart")
RUNS = (
    "run",
    "seed",
    "settings that differ (recipe now)",
    "test error, % [95 % CI]",
    "verdict",
    "epochs",
    "minutes",
    "images/s",
    "hardware",
    "versions",
    "data",
    "commit",
)
COLLAPSED = (
    "collapsed (dead ReLUs)",
    "seed",
    "settings that differ (recipe now)",
    "step",
    "what was seen",
    "hardware",
    "versions",
    "commit",
)
CLOSE = 3.0
"""Points: as near as the digitized Figure 3 and the noise of a single run allow to be asked for."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("results"))
@click.option(
    "--runs",
    "only_runs",
    is_flag=True,
    help="Print every run instead, with its settings, data, machine and versions; and which trainings collapsed (dead ReLUs).",
)
@click.option("--missing", "only_missing", is_flag=True, help="Print what was not run yet instead, the most valuable first.")
@json_option
def results(folder: Path, only_runs: bool, only_missing: bool, as_json: bool) -> None:
    """Compare finished runs (summary.json files in FOLDER, by default results) with the paper's results.

    Three tables, as Markdown: every figure that the paper gives for its networks, and ours; how near the test error comes
    to Figure 3, if it was counted after each epoch; and how near the training error does. Only runs with the settings that
    the recipe has now count for a figure, several as mean ± standard deviation. Seeds whose training collapsed, described in
    FOLDER/dead, are not missing.
    """
    from nin_onnx.results import collapses, ledger
    from nin_onnx.results.missing import missing

    if only_runs and only_missing:
        raise click.UsageError("--runs and --missing print different tables: give one of them")
    entries, collapsed = ledger.read(folder), collapses.read(folder)
    if only_missing:
        _print_missing(missing(entries, collapses=collapsed), as_json)
    elif as_json:  # with the figures and every run
        print_json(_all(entries, collapsed))
    elif only_runs:
        _print_tables((RUNS, map(_run, entries)), (COLLAPSED, map(_collapse, collapsed)))
    else:
        figures, figure3, training = ledger.rows(entries), ledger.compare_figure3(entries), ledger.compare_training(entries)
        _print_tables((FIGURES, map(_figure, figures)), (FIGURE3, map(_near, figure3)), (TRAINING, map(_trained, training)))


def _print_missing(lacking: "Sequence[Missing]", as_json: bool) -> None:
    if as_json:
        print_json({"missing": [{**asdict(run), "command": run.command} for run in lacking]})
        return
    click.echo("\n".join(map(_lacking, lacking)) or "nothing is missing")
    if lacking:
        click.echo("all of them, in this order: nin-onnx reproduce")


def _all(entries: "Sequence[Entry]", collapsed: "Sequence[Collapse]") -> dict[str, Any]:
    """Return everything that the ledger says, for JSON."""
    from nin_onnx.results import ledger

    compared = (*ledger.compare_figure3(entries), *ledger.compare_training(entries))
    return {
        "figures": [_plain(row) for row in ledger.rows(entries)],
        "figure3": [asdict(comparison) for comparison in compared],
        "runs": [{**entry.summary, "changes": entry.changes, "counts": entry.counts} for entry in entries],
        "dead": [{**collapse.summary, "changes": ledger.changes(collapse.summary)} for collapse in collapsed],
    }


def _lacking(run: "Missing") -> str:
    figure = run.figure
    place, error = (figure.place, f"{figure.error:.2f} %") if figure else ("", "")
    return f"{place:<8} {error:>8}  {run.command}"


def _print_tables(*tables: tuple[Sequence[str], Iterable[Sequence[str]]]) -> None:
    """Print tables, each a head and its rows, as Markdown; but for the first, only those that have rows."""
    printed = []
    for number, (head, rows) in enumerate(tables):
        lines = [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]
        if number == 0 or len(lines) > 2:
            printed.append("\n".join(lines))
    click.echo("\n\n".join(printed))


def _figure(row: "FigureRow") -> tuple[str, ...]:
    figure = row.published
    ours = [cell for outcome in (row.paper, row.modern) for cell in _outcome(outcome)]
    return (figure.place, figure.dataset, figure.method, f"{figure.error:.2f}", *ours)


def _outcome(outcome: "RecipeOutcome | None") -> tuple[str, str, str]:
    """Return error, verdict and cost; empty if there is no recipe to run."""
    if outcome is None:
        return "", "", ""
    if outcome.mean is None:
        return "", "not run", ""
    deviation = f" ± {outcome.standard_deviation:.2f}" if outcome.standard_deviation is not None else ""
    summaries = [entry.summary for entry in outcome.entries]
    minutes = sum(summary["seconds"] for summary in summaries) / len(summaries) / 60
    each = " each" if len(summaries) > 1 else ""
    hardware = "; ".join(dict.fromkeys(map(_hardware, summaries)))
    programs = dict.fromkeys(entry.program.program for entry in outcome.entries if entry.program)
    by = f", by {', '.join(programs)} (not in this repository)" if programs else ""
    cost = f"{minutes:.1f} min{each}, {hardware}{by}"
    return f"{outcome.mean:.2f}{deviation} (n = {len(summaries)})", str(outcome.verdict), cost


def _near(comparison: "Comparison") -> tuple[str, ...]:
    return (
        comparison.recipe,
        comparison.run,
        f"{comparison.first_epoch} – {comparison.last_epoch}",
        f"{comparison.ours:.2f}",
        f"{comparison.paper:.2f}",
        f"{comparison.difference:+.2f}",
        "yes" if abs(comparison.difference) <= CLOSE else "no",
    )


def _trained(comparison: "Comparison") -> tuple[str, ...]:
    errors = f"{comparison.ours:.2f}", f"{comparison.paper:.2f}", f"{comparison.difference:+.2f}"
    return comparison.recipe, comparison.run, str(comparison.last_epoch), *errors


def _run(entry: "Entry") -> tuple[str, ...]:
    from nin_onnx.results.made_by import code

    summary, accuracy = entry.summary, entry.accuracy()
    test = summary["test"]
    return (
        entry.recipe,
        str(summary["seed"]),
        _differing(entry.changes),
        f"{accuracy.error:.2f} [{accuracy.low:.2f}, {accuracy.high:.2f}]",
        str(accuracy.verdict or ""),
        str(summary["epochs"]),
        f"{summary['seconds'] / 60:.1f}",
        f"{summary['images_per_second']:,.0f}",
        _hardware(summary),
        _versions(summary),
        "; ".join(f"{part['split']} {part['provenance']}, {part['fingerprint'][:12]}" for part in (summary["dataset"], test)),
        code(summary),
    )


def _collapse(collapse: "Collapse") -> tuple[str, ...]:
    from nin_onnx.results import ledger
    from nin_onnx.results.made_by import code

    summary = collapse.summary
    return (
        collapse.recipe.name,
        str(collapse.seed),
        _differing(ledger.changes(summary)),
        "" if collapse.step is None else str(collapse.step),
        str(summary["reason"]),
        _hardware(summary),
        _versions(summary),
        code(summary),
    )


def _differing(changes: Mapping[str, tuple[Any, Any]] | None) -> str:
    if changes is None:
        return "a recipe of its own"
    return ", ".join(f"{key} = {then} ({now})" for key, (then, now) in changes.items())


def _hardware(summary: Mapping[str, Any]) -> str:
    hardware = summary["hardware"]
    device = summary["device"] if summary["device"] != "cpu" else f"{hardware['processor']}, {hardware['cores']} cores"
    return f"{device}, {summary['precision']}"


def _versions(summary: Mapping[str, Any]) -> str:
    return f"torch {summary['versions']['torch']}, Python {summary['versions']['python']}"


def _plain(row: "FigureRow") -> dict[str, Any]:
    """Return a row for JSON; a run by its recipe and seed, since the runs themselves are listed beside it."""
    plain: dict[str, Any] = {"published": asdict(row.published)}
    for protocol, outcome in (("paper", row.paper), ("modern", row.modern)):
        plain[protocol] = outcome and {
            "recipe": outcome.recipe,
            "seeds": [entry.summary["seed"] for entry in outcome.entries],
            "mean": outcome.mean,
            "standard_deviation": outcome.standard_deviation,
            "verdict": asdict(outcome.verdict) if outcome.verdict else {"word": "not run"},
        }
    return plain
