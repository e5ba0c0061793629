"""The recipes that ship: one for each experiment of the paper, with the authors' rates."""

import pytest

from nin_onnx import recipe
from nin_onnx.data import DATASETS
from nin_onnx.paper import PUBLISHED, Published
from nin_onnx.recipe import OptimizerSettings


def test_every_experiment_of_the_paper_has_a_recipe_of_its_name_and_four_a_modern_one_too() -> None:
    papers = {row.experiment for row in PUBLISHED if row.experiment}
    modern = {f"{name}-modern" for name in ("mnist", "cifar10", "cifar10-augmented", "cifar100")}
    assert set(recipe.shipped()) == papers | modern | {"digits"}
    for name in recipe.shipped():
        assert recipe.load(name).experiment == (None if name == "digits" else name.removesuffix("-modern"))


@pytest.mark.parametrize("row", [row for row in PUBLISHED if row.experiment], ids=lambda row: f"{row.place}, {row.experiment}")
def test_a_recipe_opens_with_the_papers_figure_and_its_place(row: Published) -> None:
    for path in recipe.FOLDER.glob(f"{row.experiment}*.toml"):
        if path.stem in (row.experiment, f"{row.experiment}-modern"):
            first, *_ = path.read_text().splitlines()
            assert f"{row.error:.2f} % test error" in first
            assert row.place.removeprefix("Table ") in first.split("test error")[1]


@pytest.mark.parametrize("name", [name for name in recipe.shipped() if name.startswith(("c", "s")) and "modern" not in name])
def test_the_papers_protocol_has_the_authors_rates(name: str) -> None:
    """Those of his file for CIFAR-10; the paper's text has "the same setting" for CIFAR-100, where his file's died."""
    loaded = recipe.load(name)
    assert loaded.optimizer == OptimizerSettings(
        learning_rate=0.1, momentum=0.9, weight_decay=1e-4, bias_lr_mult=2.0, last_layer_lr_mult=0.1
    )
    network = loaded.network
    assert (network.last_relu, network.initialization, network.std, network.layer_std) == (True, "normal", 0.05, {})
    assert network.maps_bias == (0.5 if name == "cifar100" else 0)  # the one departure: results/LOG.md
    assert loaded.train.batch_size == 128
    if name != "svhn":
        assert (loaded.train.epochs, loaded.schedule.kind, loaded.schedule.milestones) == (260, "stepped", (200, 230))
        assert loaded.preprocessing == ("gcn55", "zca")


def test_a_promise_is_no_part_of_the_recipe_that_trains() -> None:
    made = recipe.promise("digits")
    assert made is not None
    assert "promise" not in recipe.to_toml(recipe.load("digits"))
    assert recipe.promise("svhn") is None


@pytest.mark.parametrize("name", recipe.shipped())
def test_a_shipped_recipe_resolves_under_its_own_name(name: str) -> None:
    loaded = recipe.load(name)
    assert loaded.name == name
    assert loaded.dataset in DATASETS
