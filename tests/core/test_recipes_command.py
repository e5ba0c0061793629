"""`nin-onnx recipes`: what stands in a line, recalculated here."""

import json
from collections.abc import Callable

import pytest

from nin_onnx import recipe


def test_every_shipped_recipe_has_a_line_with_the_papers_figure(printed: Callable[..., str]) -> None:
    rows = {row["name"]: row for row in json.loads(printed("recipes", "--json"))["recipes"]}
    assert set(rows) == set(recipe.shipped())
    published = {
        "cifar10": 10.41,
        "cifar10-augmented-modern": 8.81,
        "cifar100": 35.68,
        "svhn": 2.35,
        "mnist": 0.47,
        "cnn-gap": 16.46,
    }
    assert {name: rows[name]["paper"] for name in published} == published
    assert rows["digits"]["paper"] is None


def test_the_papers_260_epochs_of_cifar_10_are_17_pflop(printed: Callable[..., str]) -> None:
    """222.5 million multiply-adds, 50,000 images, three passes."""
    rows = {row["name"]: row for row in json.loads(printed("recipes", "--json"))["recipes"]}
    assert rows["cifar10"]["petaflop"] == pytest.approx(260 * 50_000 * 222.5e6 * 3 * 2 / 1e15, rel=1e-3)
    assert rows["svhn"]["petaflop"] == pytest.approx(60 * 598_388 * 274.2e6 * 3 * 2 / 1e15, rel=1e-3)


def test_what_was_not_run_says_so_and_what_was_run_says_what_it_cost(printed: Callable[..., str]) -> None:
    lines = {line.split()[0]: line for line in printed("recipes").splitlines()}
    assert "not run" in lines["svhn"]
    assert "0.42 ± 0.03 (seeds 0 to 2)" in lines["mnist-modern"]
    assert "10 min" in lines["mnist-modern"]
