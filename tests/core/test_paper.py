"""The figures against the paper."""

import math

import pytest

from nin_onnx.data import DATASETS
from nin_onnx.paper import PUBLISHED, Figure3, Published, figure3, published


@pytest.mark.parametrize(
    ("experiment", "place", "dataset", "error"),
    [
        ("cifar10", "Table 1", "cifar10", 10.41),
        ("cifar10-augmented", "Table 1", "cifar10", 8.81),
        ("cifar10-no-dropout", "§4.2", "cifar10", 14.51),
        ("cifar100", "Table 2", "cifar100", 35.68),
        ("svhn", "Table 3", "svhn", 2.35),
        ("mnist", "Table 4", "mnist", 0.47),
        ("cifar10-fc", "Table 5", "cifar10", 11.59),
        ("cifar10-fc-dropout", "Table 5", "cifar10", 10.88),
        ("cnn-fc", "§4.6", "cifar10", 17.56),
        ("cnn-fc-dropout", "§4.6", "cifar10", 15.99),
        ("cnn-gap", "§4.6", "cifar10", 16.46),
    ],
)
def test_an_experiment_has_the_papers_figure(experiment: str, place: str, dataset: str, error: float) -> None:
    row = published(experiment)
    assert row is not None
    assert (row.place, row.dataset, row.error) == (place, dataset, error)


def test_an_experiment_that_the_paper_does_not_have_has_no_figure() -> None:
    assert published("digits") is None


def test_a_figure_that_stands_in_two_tables_is_the_same_in_both() -> None:
    for row in PUBLISHED:
        if row.experiment is not None:
            first = published(row.experiment)
            assert first is not None
            assert (first.dataset, first.error) == (row.dataset, row.error)


@pytest.mark.parametrize(
    ("place", "others"),
    [
        ("Table 1", [15.13, 14.98, 11.68, 9.50, 9.38, 9.32]),
        ("Table 2", [43.71, 42.51, 38.57, 36.85]),
        ("Table 3", [2.80, 2.78, 2.68, 2.47, 2.16, 1.94]),
        ("Table 4", [0.53, 0.47, 0.45]),
    ],
)
def test_a_table_lists_what_the_paper_compares_with(place: str, others: list[float]) -> None:
    assert sorted(row.error for row in PUBLISHED if row.place == place and row.experiment is None) == sorted(others)


@pytest.mark.parametrize("augmented", [False, True])
def test_network_in_network_leads_the_papers_first_table(augmented: bool) -> None:
    rows = [row for row in PUBLISHED if row.place == "Table 1" and ("augmented" in row.method) == augmented]
    assert min(rows, key=lambda row: row.error).method.startswith("NIN")


@pytest.mark.parametrize(
    ("experiment", "points"),
    [("cifar10", 0.31), ("cifar10-augmented", 0.28), ("cifar100", 0.48), ("svhn", 0.09), ("mnist", 0.07)],
)
def test_the_size_of_a_test_set_gives_the_known_standard_error(experiment: str, points: float) -> None:
    row = published(experiment)
    assert isinstance(row, Published)
    rate = row.error / 100
    assert 100 * math.sqrt(rate * (1 - rate) / DATASETS[row.dataset].test_images) == pytest.approx(points, abs=0.005)


@pytest.mark.parametrize(
    ("experiment", "errors"),
    [("cifar10", {0: 90.0, 24: 21.1, 80: 15.4, 200: 14.5}), ("cifar10-no-dropout", {0: 90.0, 24: 23.5, 80: 22.0, 200: 18.0})],
)
def test_figure_3_has_the_test_errors_that_were_read_off_it(experiment: str, errors: dict[int, float]) -> None:
    figure = figure3(experiment)
    assert figure is not None
    assert {epoch: dict(figure.test)[epoch] for epoch in errors} == errors


def test_without_dropout_figure_3_learns_its_training_set_better_and_its_test_set_worse() -> None:
    with_dropout, without = figure3("cifar10"), figure3("cifar10-no-dropout")
    assert isinstance(with_dropout, Figure3)
    assert isinstance(without, Figure3)
    assert without.train[-1][1] < with_dropout.train[-1][1] < with_dropout.test[-1][1] < without.test[-1][1]


@pytest.mark.parametrize("experiment", ["cifar10", "cifar10-no-dropout"])
@pytest.mark.parametrize("curve", ["train", "test"])
def test_a_curve_of_figure_3_runs_over_200_epochs_in_order(experiment: str, curve: str) -> None:
    epochs = [epoch for epoch, _ in getattr(figure3(experiment), curve)]
    assert (epochs[0], epochs[-1]) == (0, 200)
    assert epochs == sorted(set(epochs))


@pytest.mark.parametrize("experiment", [None, "source", "cifar10-augmented", "mnist"])
def test_figure_3_is_of_two_experiments_alone(experiment: str | None) -> None:
    assert figure3(experiment) is None
