"""Recipes: what is read, what is refused, and in which words."""

import json
import math
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nin_onnx.architecture import ARCHITECTURES
from nin_onnx.data import DATASETS
from nin_onnx.errors import RecipeError, UnknownNameError
from nin_onnx.paper import PUBLISHED, Published
from nin_onnx.train import recipe
from nin_onnx.train.preprocessing import STEPS
from nin_onnx.train.recipe import Augmentation, Folder, Network, Optimizer, Recipe, Schedule, Train

SMALLEST = """
dataset = "digits"
[network]
architecture = "nin-digits"
[train]
epochs = 3
[optimizer]
learning_rate = 0.1
[schedule]
kind = "stepped"
"""

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
        Network,
        st.sampled_from(sorted(ARCHITECTURES)),
        st.booleans(),
        shares,
        st.sampled_from(["training", "test"]),
        std=positive,
        layer_std=st.dictionaries(st.sampled_from(["conv1", "conv2"]), positive),
    ),
    train=st.builds(Train, counts, counts, st.none() | counts, natural, st.booleans(), st.sampled_from(["auto", "fp32", "bf16"])),
    optimizer=st.builds(
        Optimizer, positive, st.sampled_from(["sgd", "muon"]), shares, not_negative, not_negative, not_negative, shares
    ),
    schedule=st.builds(
        Schedule,
        st.sampled_from(["stepped", "plateau", "one-cycle"]),
        st.lists(counts, max_size=3).map(tuple),
        counts,
        shares,
        shares,
    ),
    preprocessing=st.lists(st.sampled_from(sorted(STEPS)), unique=True).map(tuple),
    augmentation=st.builds(Augmentation, natural, st.booleans()),
    experiment=st.sampled_from([None, "mnist", "cifar10-augmented"]),
)


@pytest.fixture
def smallest(tmp_path: Path) -> Path:
    path = tmp_path / "smallest.toml"
    path.write_text(SMALLEST)
    return path


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
    """`paper.md` lists them; CIFAR-100's differ from the others'."""
    loaded = recipe.load(name)
    hundred = name == "cifar100"
    assert loaded.optimizer == Optimizer(
        learning_rate=0.02 if hundred else 0.1,
        momentum=0.9,
        weight_decay=5e-4 if hundred else 1e-4,
        bias_rate=2.0,
        last_layer_rate=1.0 if hundred else 0.1,
    )
    assert (loaded.network.last_relu, loaded.network.initialisation, loaded.network.std) == (True, "normal", 0.05)
    assert loaded.train.batch_size == 128
    if name != "svhn":
        assert (loaded.train.epochs, loaded.schedule.kind, loaded.schedule.drops) == (260, "stepped", (200, 230))
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


def test_a_recipe_file_is_named_after_the_file_and_filled_up_with_the_papers_values(smallest: Path) -> None:
    assert recipe.load(str(smallest)) == Recipe(
        name="smallest",
        dataset="digits",
        network=Network("nin-digits", last_relu=True, dropout=0.5, initialisation="normal", std=0.05),
        train=Train(3, batch_size=128, micro_batch=None, validation=0, test_curve=False, precision="auto"),
        optimizer=Optimizer(0.1, "sgd", 0.9, 1e-4, 2.0, 0.1, 0.0),
        schedule=Schedule("stepped", (), 5, 0.1, 0.0),
        preprocessing=("scale", "standardise"),
        augmentation=Augmentation(padding=0, flip=False),
        experiment=None,
    )


@given(recipes)
def test_a_recipe_that_is_written_out_reads_back_as_the_same(written: Recipe) -> None:
    assert recipe.from_dict(tomllib.loads(recipe.to_toml(written)), "test") == written


def test_a_recipe_that_is_written_out_names_every_key_that_has_a_value(smallest: Path) -> None:
    table = tomllib.loads(recipe.to_toml(recipe.load(str(smallest))))
    assert {key for key in table if not isinstance(table[key], dict)} == {"name", "dataset", "preprocessing"}
    assert {section: set(table[section]) for section in table if isinstance(table[section], dict)} == {
        "network": {"architecture", "last_relu", "dropout", "dropout_scaling", "initialisation", "std", "layer_std"},
        "augmentation": {"padding", "flip"},
        "train": {"epochs", "batch_size", "validation", "test_curve", "precision"},
        "optimizer": {"learning_rate", "kind", "momentum", "weight_decay", "bias_rate", "last_layer_rate", "label_smoothing"},
        "schedule": {"kind", "drops", "patience", "warm_up", "average"},
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "smallest.toml: unknown key 'train.epoch': did you mean 'train.epochs'?"),
        ("trian.epochs=3", "smallest.toml: unknown key 'trian': did you mean 'train'?"),
        ("augmentation.crop=3", "smallest.toml: unknown key 'augmentation.crop', known are padding, flip"),
        ("network.architecture=nin-digit", "smallest.toml: unknown architecture 'nin-digit': did you mean 'nin-digits'? known"),
        ("dataset=digit", "smallest.toml: unknown data set 'digit': did you mean 'digits'? known are"),
        ('preprocessing=["scale", "standardize"]', "unknown preprocessing step 'standardize': did you mean 'standardise'? known"),
        ("experiment=mnsit", "smallest.toml: unknown experiment 'mnsit': did you mean 'mnist'? known are"),
        ("schedule.kind=steped", "'schedule.kind' is 'steped', expected 'stepped' or 'plateau' or 'one-cycle'"),
        ('preprocessing=["scale", "scale"]', "'preprocessing' is ['scale', 'scale'], expected each step once"),
    ],
)
def test_an_unknown_name_is_answered_with_what_is_known(smallest: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        recipe.load(str(smallest), [override])
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs=3.0", "'train.epochs' is 3.0, expected a whole number"),
        ("train.epochs=true", "'train.epochs' is True, expected a whole number"),
        ("optimizer.learning_rate=fast", "'optimizer.learning_rate' is 'fast', expected a number"),
        ("optimizer.learning_rate=true", "'optimizer.learning_rate' is True, expected a number"),
        ("network.last_relu=1", "'network.last_relu' is 1, expected true or false"),
        ("network.architecture=3", "'network.architecture' is 3, expected a string"),
        ("experiment=3", "'experiment' is 3, expected a string"),
        ("schedule.drops=3", "'schedule.drops' is 3, expected a list in brackets"),
        ("schedule.drops=[3, 'x']", "'schedule.drops[1]' is 'x', expected a whole number"),
        ("preprocessing=[1]", "'preprocessing[0]' is 1, expected a string"),
        ("train=3", "'train' is 3, expected a section [train]"),
    ],
)
def test_a_wrong_type_is_named_with_key_and_value(smallest: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        recipe.load(str(smallest), [override])
    assert str(raised.value) == f"smallest.toml: {message}"


@pytest.mark.parametrize(
    ("key", "refused", "allowed"),
    [
        ("network.dropout", ["-0.1", "1", "nan"], ["0", "0.999"]),
        ("network.std", ["0", "-1", "inf", "nan"], ["1e-9"]),
        ("augmentation.padding", ["-1"], ["0"]),
        ("train.epochs", ["0"], ["1"]),
        ("train.batch_size", ["0"], ["1"]),
        ("train.micro_batch", ["0"], ["1"]),
        ("train.validation", ["-1"], ["0"]),
        ("optimizer.learning_rate", ["0", "-0.1", "inf", "nan"], ["1e-9"]),
        ("optimizer.momentum", ["-0.1", "1"], ["0"]),
        ("optimizer.weight_decay", ["-0.1", "inf"], ["0"]),
        ("optimizer.bias_rate", ["-1", "inf"], ["0"]),
        ("optimizer.last_layer_rate", ["-1", "inf"], ["0"]),
        ("optimizer.label_smoothing", ["-0.1", "1"], ["0"]),
        ("schedule.patience", ["0"], ["1"]),
        ("network.layer_std", ["{conv1 = 0}", "{conv1 = -1.0}"], ["{conv1 = 1e-9}"]),
        ("schedule.drops", ["[0]", "[3, -1]"], ["[]", "[1]"]),
        ("schedule.warm_up", ["-0.1", "1"], ["0"]),
        ("schedule.average", ["-0.1", "1"], ["0"]),
    ],
)
def test_a_value_out_of_range_is_refused_and_its_limit_is_not(
    smallest: Path, key: str, refused: list[str], allowed: list[str]
) -> None:
    for value in refused:
        with pytest.raises(RecipeError, match=rf"^smallest.toml: '{key}[^']*' is .*, expected "):
            recipe.load(str(smallest), [f"{key}={value}"])
    for value in allowed:
        recipe.load(str(smallest), [f"{key}={value}"])


@pytest.mark.parametrize("key", ["dataset", "architecture", "epochs", "learning_rate", "kind"])
def test_a_missing_key_is_named(smallest: Path, key: str) -> None:
    smallest.write_text("\n".join(line for line in SMALLEST.splitlines() if not line.startswith(key)))
    with pytest.raises(RecipeError, match=rf"^smallest.toml: '(\w+\.)?{key}' is missing$"):
        recipe.load(str(smallest))


def test_a_missing_section_is_named(smallest: Path) -> None:
    smallest.write_text(SMALLEST.replace("[train]\nepochs = 3", ""))
    with pytest.raises(RecipeError, match=r"^smallest.toml: 'train' is missing$"):
        recipe.load(str(smallest))


@pytest.mark.parametrize("content", [b"epochs = = 3", b"\xff\xfe", b'a = 1\na = "twice"'])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"^'.*broken.toml' is no TOML: "):
        recipe.load(str(path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^cannot read the recipe '.*none.toml' \(No such file or directory\): give a "):
        recipe.load(str(tmp_path / "none.toml"))


def test_an_unknown_recipe_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown recipe 'mnits': did you mean 'mnist'\? known are cifar10, "):
        recipe.load("mnits")


def test_overrides_have_the_types_of_toml_and_bare_words_are_strings(smallest: Path) -> None:
    overrides = [
        "train.epochs=40",
        "optimizer.learning_rate=1",
        "network.last_relu=false",
        "network.initialisation=he",
        'train.precision="fp32"',
        "schedule.drops=[10, 20]",
        'preprocessing=["scale"]',
        "augmentation.flip=true",
        "name=a name = with words",
    ]
    loaded = recipe.load(str(smallest), overrides)
    assert loaded.train.epochs == 40
    assert isinstance(loaded.optimizer.learning_rate, float)
    assert math.isclose(loaded.optimizer.learning_rate, 1)
    assert (loaded.network.last_relu, loaded.network.initialisation) == (False, "he")
    assert loaded.train.precision == "fp32"
    assert loaded.schedule.drops == (10, 20)
    assert loaded.preprocessing == ("scale",)
    assert loaded.augmentation.flip
    assert loaded.name == "a name = with words"


def test_the_last_of_several_overrides_counts(smallest: Path) -> None:
    assert recipe.load(str(smallest), ["train.epochs=4", "train.epochs=5"]).train.epochs == 5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs", "'train.epochs' should be key=value, as in train.epochs=40"),
        ("dataset.name=x", "'dataset.name' cannot be set: 'dataset' is no section"),
        ("=3", "smallest.toml: unknown key '', known are "),
    ],
)
def test_an_override_that_sets_nothing_is_refused(smallest: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        recipe.load(str(smallest), [override])
    assert str(raised.value).startswith(message)


FOLDER = '[folder]\npath = "pictures"\n'


def test_a_folder_is_part_of_the_recipe_and_reads_back(smallest: Path) -> None:
    smallest.write_text(SMALLEST.replace('"digits"', '"folder"') + FOLDER + 'height = 48\nwidth = 40\nfit = "crop"\n')
    loaded = recipe.load(str(smallest), ["folder.test_share=0.1"])
    assert loaded.folder == Folder("pictures", None, 0.1, 0, 48, 40, "crop")
    assert recipe.from_dict(tomllib.loads(recipe.to_toml(loaded)), "test") == loaded
    assert recipe.from_dict(json.loads(json.dumps(asdict(loaded))), "test") == loaded
    table = loaded.table(3)
    assert (table.input, table.classes) == ((1, 48, 40), 3)


@pytest.mark.parametrize(("dataset", "section"), [("digits", FOLDER), ("folder", "")])
def test_the_data_set_folder_and_its_section_go_together(smallest: Path, dataset: str, section: str) -> None:
    smallest.write_text(SMALLEST.replace('"digits"', f'"{dataset}"') + section)
    with pytest.raises(
        RecipeError, match=r"^smallest.toml: the data set 'folder' and a section \[folder\] .* go together: name both$"
    ):
        recipe.load(str(smallest))


def test_a_std_for_a_layer_that_is_not_there_is_answered_with_the_nearest(smallest: Path) -> None:
    with pytest.raises(RecipeError, match=r"^smallest.toml: unknown layer 'conv4': did you mean 'conv\d'\? known are cccp1, "):
        recipe.load(str(smallest), ["network.layer_std={conv4 = 0.1}"])
