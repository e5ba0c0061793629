"""What the ledger lacks: which runs, and in which order."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from summaries import COLLAPSED

from nin_onnx import recipe
from nin_onnx.results import collapses, ledger
from nin_onnx.results.missing import ORDER, Missing, missing, used
from nin_onnx.train.collapse import record

Write = Callable[..., None]


def test_what_is_missing_comes_in_the_order_of_value_and_what_was_run_does_not_come(folder: Path, write: Write) -> None:
    write("mnist-modern")
    lacking = missing(ledger.read(folder))
    assert lacking[:3] == [Missing("mnist-modern", 1), Missing("mnist-modern", 2), Missing("cifar10-augmented-modern", 0)]
    assert lacking[-1] == Missing("svhn", 0)
    assert len(lacking) == sum(seeds for _, seeds in ORDER) - 1


def test_a_seed_whose_training_collapsed_is_owed_no_more_until_its_recipe_is_mended(folder: Path) -> None:
    settings = recipe.load("cifar10-no-dropout")
    earlier = replace(settings, optimizer=replace(settings.optimizer, learning_rate=9.0))
    for seed, kept in ((0, settings), (1, settings), (3, earlier)):
        record(folder, kept, seed, COLLAPSED)
    dead = collapses.read(folder)
    assert [run.seed for run in missing(ledger.read(folder), ("cifar10-no-dropout",), 2, dead)] == [2, 3]
    assert [run.seed for run in missing(ledger.read(folder), ("cifar10",), 2, dead)] == [0, 1]
    assert used([], dead) == {("cifar10-no-dropout", 0), ("cifar10-no-dropout", 1)}


def test_more_seeds_come_after_all_that_the_order_asks_for(folder: Path) -> None:
    lacking = missing(ledger.read(folder), ("cifar10", "digits", "mnist-modern"), seeds=4)
    assert [(run.recipe, run.seed) for run in lacking] == [
        *(("mnist-modern", seed) for seed in range(3)),
        ("cifar10", 0),
        ("digits", 0),
        ("cifar10", 1),
        ("digits", 1),
        ("cifar10", 2),
        ("digits", 2),
        ("mnist-modern", 3),
        ("cifar10", 3),
        ("digits", 3),
    ]


def test_a_seed_that_nobody_asked_for_makes_up_for_one_that_was(folder: Path, write: Write) -> None:
    write("cifar10", seed=7)
    write("mnist-modern", seed=1)
    entries = ledger.read(folder)
    assert missing(entries, ("cifar10",)) == []
    assert missing(entries, ("mnist-modern",)) == [Missing("mnist-modern", 0), Missing("mnist-modern", 2)]
    assert missing(entries, ("cifar10",), seeds=3) == [Missing("cifar10", 0), Missing("cifar10", 1)]


def test_one_seed_is_one_of_each(folder: Path) -> None:
    assert missing(ledger.read(folder), ("mnist-modern",), seeds=1) == [Missing("mnist-modern", 0)]
