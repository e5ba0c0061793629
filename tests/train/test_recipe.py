"""Recipes: what is read, what is filled up, what is overridden, and that it is written out again."""

import importlib
import json
import math
import pkgutil
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nin_onnx import recipe
from nin_onnx.architecture import ARCHITECTURES
from nin_onnx.data import DATASETS
from nin_onnx.errors import RecipeError
from nin_onnx.recipe import (
    AugmentationSettings,
    FolderSettings,
    NetworkSettings,
    OptimizerSettings,
    Recipe,
    ScheduleSettings,
    TrainSettings,
)
from nin_onnx.train import preprocessing
from nin_onnx.train.preprocessing import STEPS, Step

shares = st.floats(0, 1, exclude_max=True)
natural = st.integers(0, 2**63 - 1)
counts = st.integers(1, 2**63 - 1)
positive = st.floats(0, exclude_min=True, allow_infinity=False)
not_negative = st.floats(0, allow_infinity=False)
recipes = st.builds(
    Recipe,
    name=st.text(),
    dataset=st.sampled_from(sorted(DATASETS)),
    network=st.builds(
        NetworkSettings,
        st.sampled_from(sorted(ARCHITECTURES)),
        st.booleans(),
        shares,
        st.sampled_from(["training", "test"]),
        std=positive,
        layer_std=st.dictionaries(st.sampled_from(["conv1", "conv2"]), positive),
        maps_bias=not_negative,
    ),
    train=st.builds(
        TrainSettings, counts, counts, st.none() | counts, natural, st.booleans(), st.sampled_from(["auto", "fp32", "bf16"])
    ),
    optimizer=st.builds(
        OptimizerSettings, positive, st.sampled_from(["sgd", "muon"]), shares, not_negative, not_negative, not_negative, shares
    ),
    schedule=st.builds(
        ScheduleSettings,
        st.sampled_from(["stepped", "plateau", "one-cycle"]),
        st.lists(counts, max_size=3).map(tuple),
        counts,
        shares,
        shares,
    ),
    preprocessing=st.lists(st.sampled_from(sorted(STEPS)), unique=True).map(tuple),
    augmentation=st.builds(AugmentationSettings, natural, st.booleans()),
    experiment=st.sampled_from([None, "mnist", "cifar10-augmented"]),
)


def test_a_recipe_file_is_named_after_the_file_and_filled_up_with_the_papers_values(smallest: Path) -> None:
    assert recipe.load(str(smallest)) == Recipe(
        name="smallest",
        dataset="digits",
        network=NetworkSettings("nin-digits", last_relu=True, dropout=0.5, initialization="normal", std=0.05),
        train=TrainSettings(3, batch_size=128, micro_batch=None, validation=0, test_curve=False, precision="auto"),
        optimizer=OptimizerSettings(0.1, "sgd", 0.9, 1e-4, 2.0, 0.1, 0.0),
        schedule=ScheduleSettings("stepped", (), 5, 0.1, 0.0),
        preprocessing=("scale", "standardize"),
        augmentation=AugmentationSettings(padding=0, flip=False),
        experiment=None,
    )


@given(recipes)
def test_a_recipe_that_is_written_out_reads_back_as_the_same(written: Recipe) -> None:
    assert recipe.from_dict(tomllib.loads(recipe.to_toml(written)), "test") == written


def test_a_recipe_that_is_written_out_names_every_key_that_has_a_value(smallest: Path) -> None:
    table = tomllib.loads(recipe.to_toml(recipe.load(str(smallest))))
    assert {key for key in table if not isinstance(table[key], dict)} == {"name", "dataset", "preprocessing"}
    assert {section: set(table[section]) for section in table if isinstance(table[section], dict)} == {
        "network": {"architecture", "last_relu", "dropout", "dropout_scaling", "initialization", "std", "layer_std", "maps_bias"},
        "augmentation": {"padding", "flip"},
        "train": {"epochs", "batch_size", "validation", "test_curve", "precision"},
        "optimizer": {
            "learning_rate",
            "kind",
            "momentum",
            "weight_decay",
            "bias_lr_mult",
            "last_layer_lr_mult",
            "label_smoothing",
        },
        "schedule": {"kind", "milestones", "patience", "warmup", "ema_decay"},
    }


def test_overrides_have_the_types_of_toml_and_bare_words_are_strings(smallest: Path) -> None:
    overrides = [
        "train.epochs=40",
        "optimizer.learning_rate=1",
        "network.last_relu=false",
        "network.initialization=he",
        'train.precision="fp32"',
        "schedule.milestones=[10, 20]",
        'preprocessing=["scale"]',
        "augmentation.flip=true",
        "dataset=folder",
        "folder.path=a name = with words",
    ]
    loaded = recipe.load(str(smallest), overrides)
    assert loaded.train.epochs == 40
    assert isinstance(loaded.optimizer.learning_rate, float)
    assert math.isclose(loaded.optimizer.learning_rate, 1)
    assert (loaded.network.last_relu, loaded.network.initialization) == (False, "he")
    assert loaded.train.precision == "fp32"
    assert loaded.schedule.milestones == (10, 20)
    assert loaded.preprocessing == ("scale",)
    assert loaded.augmentation.flip
    assert loaded.folder == FolderSettings("a name = with words")


def test_a_copy_of_a_shipped_recipe_keeps_its_name_until_it_is_edited(tmp_path: Path) -> None:
    for name in recipe.shipped():
        copy = tmp_path / f"{name}.toml"
        copy.write_text((recipe.FOLDER / copy.name).read_text())
        assert recipe.load(str(copy)) == recipe.load(name)
        copy.write_text(recipe.to_toml(recipe.load(name)))  # with every key, as in a run's folder
        assert recipe.load(str(copy)).name == recipe.load(name).name == name
        copy.write_text(copy.read_text().replace("batch_size = ", "batch_size = 1"))
        assert recipe.load(str(copy)).name == f"{name}-modified"


def test_the_last_of_several_overrides_counts(smallest: Path) -> None:
    assert recipe.load(str(smallest), ["train.epochs=4", "train.epochs=5"]).train.epochs == 5


FOLDER = '[folder]\npath = "pictures"\n'


def test_a_folder_is_part_of_the_recipe_and_reads_back(smallest: Path) -> None:
    smallest.write_text(smallest.read_text().replace('"digits"', '"folder"') + FOLDER + 'height = 48\nwidth = 40\nfit = "crop"\n')
    loaded = recipe.load(str(smallest), ["folder.test_share=0.1"])
    assert loaded.folder == FolderSettings("pictures", None, 0.1, 0, 48, 40, "crop")
    assert recipe.from_dict(tomllib.loads(recipe.to_toml(loaded)), "test") == loaded
    assert recipe.from_dict(json.loads(json.dumps(asdict(loaded))), "test") == loaded
    table = loaded.table(3)
    assert (table.input, table.classes) == ((1, 48, 40), 3)


@pytest.mark.parametrize(("dataset", "section"), [("digits", FOLDER), ("folder", "")])
def test_the_data_set_folder_and_its_section_go_together(smallest: Path, dataset: str, section: str) -> None:
    smallest.write_text(smallest.read_text().replace('"digits"', f'"{dataset}"') + section)
    with pytest.raises(
        RecipeError, match=r"^smallest.toml: the data set 'folder' and a section \[folder\] .* go together: name both$"
    ):
        recipe.load(str(smallest))


def test_a_recipe_may_name_every_preprocessing_step_that_there_is() -> None:
    found = set()
    for module in pkgutil.iter_modules(preprocessing.__path__, f"{preprocessing.__name__}."):
        classes = vars(importlib.import_module(module.name)).values()
        found |= {one for one in classes if isinstance(one, type) and issubclass(one, Step) and one.__module__ == module.name}
    assert found - {Step} == set(STEPS.values())
