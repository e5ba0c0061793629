"""The ledger: what the summaries of finished runs say of the paper's figures."""

import json
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from nin_onnx import recipe
from nin_onnx.data import DATASETS
from nin_onnx.errors import NinOnnxError
from nin_onnx.paper import PUBLISHED, Published
from nin_onnx.paper import published as published_figure
from nin_onnx.results import curves, made_by
from nin_onnx.results.curves import Comparison, Curves
from nin_onnx.run import Epoch
from nin_onnx.verdict import Accuracy, Verdict, judge, measure

__all__ = [
    "Entry",
    "FigureRow",
    "RecipeOutcome",
    "changes",
    "compare_figure3",
    "compare_training",
    "read",
    "rows",
]

MODIFIED = "-modified"  # what `recipe.load` adds to the name of a shipped recipe that was overridden or edited
TOLD = {"epochs", "seconds", "images_per_second", "precision", "device", "hardware", "versions", "dataset", "commit"}
"""What a summary says beside its settings and its test."""
NEUTRAL = {"name", "train.micro_batch", "train.test_curve"}  # settings that decide nothing of the outcome


@dataclass(frozen=True)
class Entry:
    """A finished run, as its summary tells it."""

    summary: Mapping[str, Any]
    changes: Mapping[str, tuple[Any, Any]] | None
    """Settings in which it differs from the shipped recipe: its value, and the recipe's now. None of a recipe of one's own."""

    @property
    def recipe(self) -> str:
        """The recipe that it is a run of, as it is shipped or overridden."""
        return str(self.summary["recipe"]).removesuffix(MODIFIED)

    @property
    def overridden(self) -> bool:
        """Whether it was meant to be another run than the recipe's."""
        return bool(self.changes) and self.summary["recipe"] != self.recipe

    @property
    def counts(self) -> bool:
        """Whether it is a result of its recipe as it is now."""
        return self.changes == {}

    @property
    def program(self) -> made_by.Program | None:
        """The program that made it, if that is not in this repository."""
        return made_by.program(self.summary)

    def accuracy(self) -> Accuracy:
        """Its test error, and the verdict on it unless the recipe was overridden."""
        test, experiment = self.summary["test"], self.summary["experiment"]
        figure = published_figure(experiment) if experiment and not self.overridden else None
        return measure(test["errors"], test["images"], test, figure)


@dataclass(frozen=True)
class RecipeOutcome:
    """What the runs of one recipe, as it is now, have reached together; errors in per cent."""

    recipe: str
    entries: Sequence[Entry]
    """One of each seed, by this repository's code if there is one, then the first by its file's name.

    The same seed once more is nearly the same run, no further sample.
    """
    mean: float | None
    standard_deviation: float | None
    """Of a sample; None of fewer than two runs."""
    verdict: Verdict | None
    """On the mean, as if it were the error of one run; None where nothing was run."""


@dataclass(frozen=True)
class FigureRow:
    """A figure of the paper, and ours; None where there is no such recipe."""

    published: Published
    paper: RecipeOutcome | None
    """By the paper's protocol."""
    modern: RecipeOutcome | None


def read(folder: Path) -> list[Entry]:
    """The runs whose summaries (`summary.json`, under any name) lie in `folder`, by recipe and seed; raises `NinOnnxError`."""
    if not folder.is_dir():
        raise NinOnnxError(f"'{folder}' holds no results: copy a run's summary.json there, named RECIPE-seedN.json")
    entries = []
    for path in sorted(folder.glob("*.json")):
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
            entry = Entry(summary, changes(summary))
            entry.accuracy()
            made_by.program(summary)
            if not summary.keys() >= TOLD:
                raise KeyError
        except (OSError, ValueError, KeyError, TypeError, AttributeError, NinOnnxError) as error:
            raise NinOnnxError(
                f"'{path}' is not the summary of a run that was tested: copy a run's summary.json there"
            ) from error
        if entry not in entries:  # the same run, collected twice
            entries.append(entry)
    return sorted(entries, key=lambda entry: (entry.summary["recipe"], entry.summary["seed"]))


def rows(entries: Iterable[Entry]) -> list[FigureRow]:
    """A row for each figure that the paper gives for its own networks."""
    counted = [entry for entry in entries if entry.counts]
    return [
        FigureRow(figure, _outcome(figure.experiment, figure, counted), _outcome(f"{figure.experiment}-modern", figure, counted))
        for figure in PUBLISHED
        if figure.experiment
    ]


def changes(summary: Mapping[str, Any]) -> dict[str, tuple[Any, Any]] | None:
    """Return the settings that decide something and differ from those of the recipe of that name.

    What is newer than the run is at its default: until then, nothing else was possible.
    """
    name = summary["recipe"].removesuffix(MODIFIED)
    if name not in recipe.shipped():
        return None
    then, now = (_flat(asdict(one)) for one in (recipe.from_dict(summary["settings"], "settings"), recipe.load_shipped(name)))
    keys = [key for key in {**now, **then} if key not in NEUTRAL]
    return {key: (then.get(key), now.get(key)) for key in keys if then.get(key) != now.get(key)}


def compare_figure3(entries: Iterable[Entry]) -> list[Comparison]:
    """Return how far the runs whose test error was counted after each epoch are from the paper's Figure 3."""
    compared = map(curves.compare, _by_its_protocol(entries))
    return [comparison for comparison in compared if comparison and comparison.error == "test"]


def compare_training(entries: Iterable[Entry]) -> list[Comparison]:
    """Return how far the training errors are from those of the paper's Figure 3."""
    return [comparison for run in _by_its_protocol(entries) for comparison in curves.compare_training(run)]


def _by_its_protocol(entries: Iterable[Entry]) -> Iterator[Curves]:
    """The curves of the runs by the paper's protocol, and of those that were only ended sooner."""
    for entry in entries:
        summary = entry.summary
        if entry.changes is None or not entry.changes.keys() <= {"train.epochs"} or entry.recipe != summary["experiment"]:
            continue
        epochs = [Epoch(**point, seconds=0.0, images_per_second=0.0) for point in summary.get("curve", ())]
        copy = "" if summary["test"]["provenance"] == "official" else f", {summary['test']['provenance']}"
        name = f"seed {summary['seed']}, {summary['epochs']} epochs{copy}"
        yield Curves(Path(name), entry.recipe, summary["experiment"], epochs)


def _outcome(name: str, figure: Published, counted: Sequence[Entry]) -> RecipeOutcome | None:
    if name not in recipe.shipped():
        return None
    runs = [
        entry
        for entry in counted
        if entry.recipe == name and entry.summary["test"]["images"] == DATASETS[figure.dataset].test_images
    ]
    if not runs:
        return RecipeOutcome(name, (), None, None, None)
    runs.sort(key=lambda entry: entry.program is not None)
    of_seed = {entry.summary["seed"]: entry for entry in reversed(runs)}  # the first of each seed takes the place of the others
    entries = [of_seed[seed] for seed in sorted(of_seed)]
    tests = [entry.summary["test"] for entry in entries]
    errors = [test["error"] for test in tests]
    mean = Fraction(sum(test["errors"] for test in tests), len(tests))
    least_official = max(tests, key=lambda test: test["provenance"] != "official")
    return RecipeOutcome(
        name,
        entries,
        statistics.fmean(errors),
        statistics.stdev(errors) if len(errors) > 1 else None,
        judge(mean, DATASETS[figure.dataset].test_images, least_official, figure),
    )


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"train": {"epochs": 3}}` as `{"train.epochs": 3}`."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
