"""Which runs of the paper's experiments the ledger lacks."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nin_onnx.paper import Published, published
from nin_onnx.recipe import load_shipped
from nin_onnx.results.collapses import Collapse
from nin_onnx.results.ledger import Entry, changes

__all__ = ["ORDER", "Missing", "missing", "used"]

ORDER = (
    ("mnist-modern", 3),
    ("cifar10-augmented-modern", 1),
    ("cifar10-modern", 1),
    ("cifar100-modern", 1),
    ("cifar10-augmented", 1),
    ("cifar10", 1),
    ("cifar10-no-dropout", 1),
    ("cifar10-fc-dropout", 1),
    ("cifar10-fc", 1),
    ("cnn-gap", 1),
    ("cnn-fc-dropout", 1),
    ("cnn-fc", 1),
    ("mnist", 1),
    ("cifar100", 1),
    ("svhn", 1),
)
"""The recipes of the paper's experiments, the most valuable result first, and how many seeds each is owed."""


@dataclass(frozen=True)
class Missing:
    """A run that the ledger lacks."""

    recipe: str
    seed: int

    @property
    def figure(self) -> Published | None:
        """What it will be measured by."""
        experiment = load_shipped(self.recipe).experiment
        return published(experiment) if experiment else None

    @property
    def command(self) -> str:
        """What runs it."""
        return f"nin-onnx train {self.recipe} --seed {self.seed}"


def missing(
    entries: Iterable[Entry], recipes: Sequence[str] = (), seeds: int | None = None, collapses: Iterable[Collapse] = ()
) -> list[Missing]:
    """Return the runs of `recipes` that `entries` lack, the most valuable first; of all the paper's if none are named.

    Each recipe is owed `seeds` runs or, if that is not given, as many as `ORDER` says, of whatever seeds but those that
    collapsed with the settings that the recipe has now. What goes beyond `ORDER` comes last, a run of each recipe in turn.
    A run that a program outside this repository made is owed still.
    """
    entries = list(entries)
    there, not_again = used(entries), used(entries, collapses)
    order = dict(ORDER)
    first: list[Missing] = []
    more: list[tuple[int, Missing]] = []
    for name in sorted(recipes or order, key=lambda name: [*order, name].index(name)):
        owed = order.get(name, 1)
        ran = sum(recipe == name for recipe, _ in there)
        unused = (seed for seed in itertools.count() if (name, seed) not in not_again)
        for number, seed in zip(range(ran, seeds or owed), unused, strict=False):
            if number < owed:
                first.append(Missing(name, seed))
            else:
                more.append((number, Missing(name, seed)))
    return first + [run for _, run in sorted(more, key=lambda pair: pair[0])]


def used(entries: Iterable[Entry], collapses: Iterable[Collapse] = ()) -> set[tuple[str, int]]:
    """Return recipes and seeds that ran, by this repository's code, or collapsed, with the settings that the recipe has now."""
    ran = {(entry.recipe, entry.summary["seed"]) for entry in entries if entry.counts and entry.program is None}
    return ran | {(collapse.recipe.name, collapse.seed) for collapse in collapses if changes(collapse.summary) == {}}
