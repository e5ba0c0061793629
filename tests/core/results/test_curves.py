"""A run's curves are read as they were written, and compared with Figure 3 over the same epochs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from nin_onnx.errors import RunError
from nin_onnx.results.curves import Curves, compare, read
from nin_onnx.run import Epoch
from nin_onnx.train.writable_run import WritableRun

TEST_CURVE = {0: 90.0, 8: 34.8, 16: 22.7, 24: 21.1, 184: 13.8, 192: 13.1, 200: 14.5}  # points of the figure, with dropout


def curves(test: Mapping[int, float], validation: Mapping[int, float], epochs: int, experiment: str | None = "cifar10") -> Curves:
    """A run of that many epochs in which these errors were measured."""
    numbers = range(1, epochs + 1)
    lines = [Epoch(number, 0.1, 1.0, 50.0, validation.get(number), test.get(number), 1.0, 1.0) for number in numbers]
    return Curves(Path("run"), "mine", experiment, lines)


def figure(epochs: Sequence[int]) -> float:
    """The mean of the figure's test curve over these epochs."""
    return float(np.mean(np.interp(epochs, list(TEST_CURVE), list(TEST_CURVE.values()))))


def test_a_run_is_read_from_its_metrics_and_its_recipe_of_whatever_version(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('name = "old"\nexperiment = "cifar10"\na_key_of_long_ago = 1\n')
    epochs = [Epoch(1, 0.1, 2.25, 80.0, None, 70.5, 1.5, 100.0), Epoch(2, 0.01, 1.25, 60.0, None, 50.25, 1.5, 100.0)]
    WritableRun(tmp_path).write_metrics(epochs)
    assert read(tmp_path) == Curves(tmp_path, "old", "cifar10", epochs)


@pytest.mark.parametrize("recipe", ["name = ", 'experiment = "cifar10"', "name = 3", 'name = "a"\nexperiment = 3', "\x00"])
def test_a_recipe_that_is_none_is_named_with_what_to_give(recipe: str, tmp_path: Path) -> None:
    WritableRun(tmp_path).write_metrics([Epoch(1, 0.1, 2.25, 80.0, None, None, 1.5, 100.0)])
    (tmp_path / "recipe.toml").write_text(recipe)
    with pytest.raises(RunError, match=r"recipe.toml' .*give the folder of a run that nin-onnx train made$"):
        read(tmp_path)


def test_the_measured_part_of_a_column_has_no_gaps() -> None:
    epochs, errors = curves({10: 20.5, 20: 15.25}, {}, 24).measured("test_error")
    assert (epochs.tolist(), errors.tolist()) == ([10, 20], [20.5, 15.25])


def test_the_last_five_epochs_are_compared_with_the_figure_over_the_same_epochs() -> None:
    errors = {number: 60 - 1.7 * number for number in range(1, 25)}
    found = compare(curves(errors, {24: 1.0}, 24))
    assert found is not None
    assert (found.run, found.recipe, found.error, found.first_epoch, found.last_epoch) == ("run", "mine", "test", 20, 24)
    assert found.ours == pytest.approx(np.mean([60 - 1.7 * number for number in range(20, 25)]))
    assert found.paper == pytest.approx(figure(range(20, 25)))
    assert found.difference == pytest.approx(found.ours - found.paper)


def test_what_comes_after_the_figure_s_last_epoch_is_not_compared() -> None:
    errors = {number: 20.0 if number <= 200 else 10.0 for number in range(1, 261)}
    found = compare(curves(errors, {}, 260))
    assert found is not None
    assert (found.first_epoch, found.last_epoch, found.ours) == (196, 200, 20.0)
    assert found.paper == pytest.approx(figure(range(196, 201)))


def test_epochs_that_were_not_measured_count_on_neither_side() -> None:
    found = compare(curves({8: 40.0, 16: 30.0, 24: 20.0}, {}, 30))
    assert found is not None
    assert (found.first_epoch, found.last_epoch) == (8, 24)
    assert (found.ours, found.paper) == pytest.approx((30.0, (34.8 + 22.7 + 21.1) / 3))


def test_without_a_test_error_the_validation_error_is_compared() -> None:
    found = compare(curves({}, {1: 70.0}, 1))
    assert found is not None
    assert (found.error, found.first_epoch, found.last_epoch, found.ours) == ("validation", 1, 1, 70.0)
    assert found.paper == pytest.approx(90 - (90 - 34.8) / 8)


@pytest.mark.parametrize("experiment", [None, "cifar10-augmented", "mnist"])
def test_a_run_of_another_experiment_is_not_compared(experiment: str | None) -> None:
    assert compare(curves({1: 70.0}, {}, 1, experiment)) is None


def test_a_run_that_measured_neither_is_not_compared() -> None:
    assert compare(curves({}, {}, 3)) is None


def test_a_run_with_another_schedule_than_the_papers_is_not_compared_with_its_figure(tmp_path: Path) -> None:
    for kind, expected in (("stepped", "cifar10"), ("one-cycle", None)):
        run = tmp_path / kind
        run.mkdir()
        (run / "recipe.toml").write_text(f'name = "x"\nexperiment = "cifar10"\n[schedule]\nkind = "{kind}"\n')
        WritableRun(run).write_metrics([Epoch(1, 0.1, 2.25, 80.0, None, 70.5, 1.5, 100.0)])
        assert read(run).experiment == expected
