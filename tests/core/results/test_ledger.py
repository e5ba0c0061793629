"""The ledger: which runs count for which figure, and what they say of it together."""

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from summaries import summary

from nin_onnx import recipe
from nin_onnx.errors import NinOnnxError
from nin_onnx.results import ledger
from nin_onnx.results.ledger import RecipeOutcome
from nin_onnx.results.missing import ORDER, Missing, missing

Write = Callable[..., None]


def outcomes(folder: Path, place: str = "Table 4") -> tuple[RecipeOutcome | None, RecipeOutcome | None]:
    """Of the first figure in that place: by the paper's protocol, and the modern one."""
    row = next(row for row in ledger.rows(ledger.read(folder)) if row.published.place == place)
    return row.paper, row.modern


def test_there_is_a_row_for_each_figure_of_the_papers_own_networks(folder: Path) -> None:
    found = [(row.published.place, row.published.error) for row in ledger.rows(ledger.read(folder))]
    assert found == [
        ("Table 1", 10.41),
        ("Table 1", 8.81),
        ("§4.2", 14.51),
        ("Table 2", 35.68),
        ("Table 3", 2.35),
        ("Table 4", 0.47),
        ("Table 5", 11.59),
        ("Table 5", 10.88),
        ("Table 5", 10.41),
        ("§4.6", 17.56),
        ("§4.6", 15.99),
        ("§4.6", 16.46),
    ]


def test_every_shipped_recipe_of_an_experiment_has_its_place_and_its_turn(folder: Path) -> None:
    rows = ledger.rows(ledger.read(folder))
    placed = {outcome.recipe for row in rows for outcome in (row.paper, row.modern) if outcome}
    shipped = {name for name in recipe.shipped() if recipe.load(name).experiment}
    assert placed == shipped == {name for name, _ in ORDER}


def test_several_seeds_are_a_mean_and_the_standard_deviation_of_a_sample(folder: Path, write: Write) -> None:
    for seed, errors in enumerate((44, 47, 50)):
        write("mnist-modern", seed=seed, errors=errors)
    paper, modern = outcomes(folder)
    assert paper
    assert (paper.entries, paper.mean, paper.verdict) == ((), None, None)
    assert modern
    assert modern.mean == pytest.approx(0.47)
    assert modern.standard_deviation == pytest.approx(statistics.stdev((0.44, 0.47, 0.50)))
    assert modern.verdict
    assert modern.verdict.word == "reached"


@pytest.mark.parametrize(
    ("errors", "word"),
    [((47, 47, 48), "within noise"), ((59, 59), "within noise"), ((59, 60), "fell short"), ((60,), "fell short")],
)
def test_the_mean_is_judged_as_one_run_with_so_many_errors(
    errors: tuple[int, ...], word: str, folder: Path, write: Write
) -> None:
    """59 of 10,000 at a rate of 0.47 % have p = 0.0502, 60 have 0.0377: scipy.stats.binom.sf(errors - 1, 10000, 0.0047)."""
    for seed, made in enumerate(errors):
        write("mnist", seed=seed, errors=made)
    paper, _ = outcomes(folder)
    assert paper
    assert paper.verdict
    assert paper.verdict.word == word


def test_a_run_with_other_settings_than_the_recipe_has_now_is_kept_and_not_averaged(folder: Path, write: Write) -> None:
    earlier = asdict(recipe.load("mnist-modern"))
    now, earlier["train"]["epochs"] = earlier["train"]["epochs"], 20
    write("mnist-modern", errors=99, settings=earlier)
    write("mnist-modern", errors=47)
    _, modern = outcomes(folder)
    assert modern
    assert len(modern.entries) == 1
    assert modern.mean == pytest.approx(0.47)
    changed = next(entry for entry in ledger.read(folder) if not entry.counts)
    assert changed.changes == {"train.epochs": (20, now)}
    verdict = changed.accuracy().verdict
    assert verdict
    assert verdict.word == "fell short"


def test_a_setting_that_is_newer_than_the_run_is_at_its_default_and_what_decides_nothing_is_left_out(
    folder: Path, write: Write
) -> None:
    settings = json.loads(json.dumps(asdict(recipe.load("mnist-modern"))))
    del settings["network"]["dropout_scaling"], settings["train"]["test_curve"], settings["folder"]
    settings["name"], settings["train"]["micro_batch"] = "mnist", 64
    write("mnist-modern", settings=settings)
    write("mnist-modern", "train.test_curve=true", seed=1)
    assert [entry.changes for entry in ledger.read(folder)] == [{}, {}]


def test_a_run_that_was_overridden_is_no_result_and_has_no_verdict(folder: Path, write: Write) -> None:
    write("cifar10", "train.epochs=24", errors=2000)
    paper, _ = outcomes(folder, "Table 1")
    assert paper
    assert paper.entries == ()
    (entry,) = ledger.read(folder)
    assert entry.accuracy().verdict is None
    assert ("cifar10", 0) in [(run.recipe, run.seed) for run in missing([entry])]


def test_a_run_that_was_tested_on_a_part_only_is_no_result(folder: Path, write: Write) -> None:
    write("mnist", errors=0, test={**summary("mnist")["test"], "images": 100, "errors": 0})
    paper, _ = outcomes(folder)
    assert paper
    assert paper.entries == ()


def test_an_unofficial_copy_among_the_runs_stands_in_the_verdict(folder: Path, write: Write) -> None:
    write("mnist", errors=40)
    write("mnist", seed=1, errors=40, test={**summary("mnist", errors=40)["test"], "provenance": "unofficial copy"})
    paper, _ = outcomes(folder)
    assert paper
    assert str(paper.verdict) == "reached (unofficial copy)"


def test_the_same_run_collected_twice_counts_once_and_another_of_the_same_seed_does_not_vanish(
    folder: Path, write: Write
) -> None:
    write("mnist", errors=40)
    write("mnist", errors=40)
    write("mnist", errors=41)
    assert [entry.summary["test"]["errors"] for entry in ledger.read(folder)] == [40, 41]


def test_a_seed_that_ran_twice_is_one_sample(folder: Path, write: Write) -> None:
    for seed, errors, seconds in ((0, 44, 90.0), (0, 44, 80.0), (1, 50, 90.0), (0, 47, 10.0)):
        write("mnist", seed=seed, errors=errors, seconds=seconds)
    paper, _ = outcomes(folder)
    assert paper
    assert [(entry.summary["seed"], entry.summary["seconds"]) for entry in paper.entries] == [(0, 90.0), (1, 90.0)]
    assert paper.mean == pytest.approx(0.47)
    assert paper.standard_deviation == pytest.approx(statistics.stdev((0.44, 0.50)))


def test_a_recipe_of_ones_own_is_listed_and_counts_for_nothing(folder: Path, write: Write) -> None:
    write("mnist", errors=40, recipe="mine")
    (entry,) = ledger.read(folder)
    assert entry.changes is None
    paper, _ = outcomes(folder)
    assert paper
    assert paper.entries == ()


def test_runs_are_ordered_by_recipe_and_seed_whatever_the_files_are_called(folder: Path, write: Write) -> None:
    write("mnist", seed=10)
    write("mnist", seed=9)
    write("digits", seed=3)
    found = [(entry.recipe, entry.summary["seed"]) for entry in ledger.read(folder)]
    assert found == [("digits", 3), ("mnist", 9), ("mnist", 10)]


LACKS_HARDWARE = {key: value for key, value in summary("mnist").items() if key != "hardware"}


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"recipe": 3}', json.dumps({**summary("mnist"), "settings": {}}), json.dumps(LACKS_HARDWARE)]
)
def test_a_file_that_is_no_summary_is_named(folder: Path, content: str) -> None:
    (folder / "odd.json").write_text(content)
    with pytest.raises(NinOnnxError, match=r"odd\.json"):
        ledger.read(folder)


def test_a_folder_that_is_absent_is_named(folder: Path) -> None:
    with pytest.raises(NinOnnxError, match=r"'.*nothing' holds no results"):
        ledger.read(folder / "nothing")


OTHERS = {"commit": None, "made_by": {"program": "fast.py", "sha256": 64 * "0", "on": "6e36f3b18888"}}


def test_a_run_that_other_code_made_counts_for_its_figure_and_is_owed_still(folder: Path, write: Write) -> None:
    write("cifar10", seed=1, errors=1018, **OTHERS)
    paper, _ = outcomes(folder, "Table 1")
    assert paper
    assert paper.mean == pytest.approx(10.18)
    assert missing(ledger.read(folder), ("cifar10",), 2) == [Missing("cifar10", 0), Missing("cifar10", 1)]


def test_a_run_by_this_repositorys_code_takes_the_place_of_the_same_seed_by_other_code(folder: Path, write: Write) -> None:
    write("cifar10", seed=1, errors=1018, **OTHERS)
    write("cifar10", seed=1, errors=1030)
    paper, _ = outcomes(folder, "Table 1")
    assert paper
    assert [entry.summary["test"]["errors"] for entry in paper.entries] == [1030]
    assert missing(ledger.read(folder), ("cifar10",)) == []


def test_a_summary_that_tells_a_commit_and_other_code_is_refused(folder: Path, write: Write) -> None:
    write("cifar10", **{**OTHERS, "commit": "6e36f3b18888"})
    with pytest.raises(NinOnnxError, match=r"0\.json"):
        ledger.read(folder)


def curve(epochs: int, error: float) -> list[dict[str, Any]]:
    point = {"learning_rate": 0.1, "train_loss": 1.0, "train_error": 50.0, "validation_error": None, "test_error": error}
    return [{"epoch": epoch, **point} for epoch in range(1, epochs + 1)]


def test_a_run_that_was_ended_sooner_is_compared_with_figure_3_over_its_last_five_epochs(folder: Path, write: Write) -> None:
    test = {**summary("cifar10")["test"], "provenance": "unofficial copy"}
    write("cifar10", "train.epochs=24", "train.test_curve=true", curve=curve(24, 23.0), test=test)
    (comparison,) = ledger.compare_figure3(ledger.read(folder))
    assert (comparison.first_epoch, comparison.last_epoch) == (20, 24)
    assert comparison.ours == pytest.approx(23.0)
    assert comparison.paper == pytest.approx(22.7 - 6 / 8 * (22.7 - 21.1))  # .227 at epoch 16, .211 at 24: at 22, their middle
    assert comparison.difference == pytest.approx(23.0 - 21.5)
    assert comparison.run == "seed 0, 24 epochs, unofficial copy"


def test_what_is_not_the_papers_run_or_has_no_test_curve_is_not_compared_with_figure_3(folder: Path, write: Write) -> None:
    write("cifar10", "optimizer.learning_rate=0.05", curve=curve(24, 23.0))
    write("cifar10-modern", curve=curve(24, 23.0))
    write("cifar10", seed=1, curve=[{**point, "test_error": None} for point in curve(24, 23.0)])
    write("cifar10", seed=2)
    assert ledger.compare_figure3(ledger.read(folder)) == []


def test_training_errors_are_compared_with_figure_3_at_three_epochs_as_far_as_a_run_goes(folder: Path, write: Write) -> None:
    """Digitized, with dropout: .171 at epoch 24, .079 at 80, .058 at 200."""
    falling = [{**point, "test_error": None, "train_error": point["epoch"] / 10} for point in curve(260, 0.0)]
    write("cifar10", seed=1, curve=falling)
    write("cifar10", "train.epochs=24", seed=2, curve=curve(24, 23.0))
    write("cifar10-augmented", curve=curve(260, 23.0))
    found = ledger.compare_training(ledger.read(folder))
    assert [(one.run, one.error, one.first_epoch, one.last_epoch) for one in found] == [
        ("seed 1, 260 epochs", "train", 24, 24),
        ("seed 1, 260 epochs", "train", 80, 80),
        ("seed 1, 260 epochs", "train", 200, 200),
        ("seed 2, 24 epochs", "train", 24, 24),
    ]
    assert [one.paper for one in found] == pytest.approx([17.1, 7.9, 5.8, 17.1])
    assert [one.ours for one in found] == pytest.approx([2.4, 8.0, 20.0, 50.0])
    assert [one.difference for one in found] == pytest.approx([2.4 - 17.1, 0.1, 14.2, 50 - 17.1])
