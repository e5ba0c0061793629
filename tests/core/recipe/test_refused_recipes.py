"""Recipes that are refused: which key, what it was, and what was expected."""

from pathlib import Path

import pytest

from nin_onnx import recipe
from nin_onnx.errors import RecipeError, UnknownNameError


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", "smallest.toml: unknown key 'train.epoch': did you mean 'train.epochs'?"),
        ("trian.epochs=3", "smallest.toml: unknown key 'trian': did you mean 'train'?"),
        ("augmentation.crop=3", "smallest.toml: unknown key 'augmentation.crop', known are padding, flip"),
        ("network.architecture=nin-digit", "smallest.toml: unknown architecture 'nin-digit': did you mean 'nin-digits'? known"),
        ("dataset=digit", "smallest.toml: unknown data set 'digit': did you mean 'digits'? known are"),
        (
            'preprocessing=["scale", "standardized"]',
            "unknown preprocessing step 'standardized': did you mean 'standardize'? known",
        ),
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
        (f"optimizer.learning_rate=1{'0' * 5000}", f"'optimizer.learning_rate' is '1{'0' * 5000}', expected a number"),
        ("network.last_relu=1", "'network.last_relu' is 1, expected true or false"),
        ("network.architecture=3", "'network.architecture' is 3, expected a string"),
        ("experiment=3", "'experiment' is 3, expected a string"),
        ("schedule.milestones=3", "'schedule.milestones' is 3, expected a list in brackets"),
        ("schedule.milestones=[3, 'x']", "'schedule.milestones[1]' is 'x', expected a whole number"),
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
        ("optimizer.learning_rate", ["0", "-0.1", "inf", "nan", "9" * 400], ["1e-9"]),
        ("optimizer.momentum", ["-0.1", "1"], ["0"]),
        ("optimizer.weight_decay", ["-0.1", "inf"], ["0"]),
        ("optimizer.bias_lr_mult", ["-1", "inf"], ["0"]),
        ("optimizer.last_layer_lr_mult", ["-1", "inf"], ["0"]),
        ("optimizer.label_smoothing", ["-0.1", "1"], ["0"]),
        ("schedule.patience", ["0"], ["1"]),
        ("network.layer_std", ["{conv1 = 0}", "{conv1 = -1.0}"], ["{conv1 = 1e-9}"]),
        ("network.maps_bias", ["-0.1", "inf"], ["0"]),
        ("schedule.milestones", ["[0]", "[3, -1]"], ["[]", "[1]"]),
        ("schedule.warmup", ["-0.1", "1"], ["0"]),
        ("schedule.ema_decay", ["-0.1", "1"], ["0"]),
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
    smallest.write_text("\n".join(line for line in smallest.read_text().splitlines() if not line.startswith(key)))
    with pytest.raises(RecipeError, match=rf"^smallest.toml: '(\w+\.)?{key}' is missing$"):
        recipe.load(str(smallest))


def test_a_missing_section_is_named(smallest: Path) -> None:
    smallest.write_text(smallest.read_text().replace("[train]\nepochs = 3", ""))
    with pytest.raises(RecipeError, match=r"^smallest.toml: 'train' is missing$"):
        recipe.load(str(smallest))


@pytest.mark.parametrize("content", [b"epochs = = 3", b"\xff\xfe", b'a = 1\na = "twice"', b"a = " + b"1" * 5000])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"^'.*broken.toml' is not valid TOML: "):
        recipe.load(str(path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"^cannot read the recipe '.*none.toml' \(No such file or directory\): give a "):
        recipe.load(str(tmp_path / "none.toml"))


def test_an_unknown_recipe_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown recipe 'mnits': did you mean 'mnist'\? known are cifar10, "):
        recipe.load("mnits")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs", "'train.epochs' should be key=value, as in train.epochs=40"),
        ("dataset.name=x", "'dataset.name' cannot be set: 'dataset' is not a section"),
        ("=3", "smallest.toml: unknown key '', known are "),
        ("name=mnist", "'name=mnist' cannot be set: a recipe is called as its file"),
    ],
)
def test_an_override_that_sets_nothing_is_refused(smallest: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        recipe.load(str(smallest), [override])
    assert str(raised.value).startswith(message)


def test_a_std_for_a_layer_that_is_not_there_is_answered_with_the_nearest(smallest: Path) -> None:
    with pytest.raises(RecipeError, match=r"^smallest.toml: unknown layer 'conv4': did you mean 'conv\d'\? known are cccp1, "):
        recipe.load(str(smallest), ["network.layer_std={conv4 = 0.1}"])
