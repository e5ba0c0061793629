"""Recipes: how to train, as frozen data that is read from TOML and checked key by key."""

import json
import math
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from nin_onnx.architecture import ARCHITECTURES, Architecture, architecture
from nin_onnx.errors import RecipeError, UnknownNameError
from nin_onnx.paper import PUBLISHED

__all__ = [
    "Augmentation",
    "Folder",
    "Network",
    "Optimizer",
    "Promise",
    "Recipe",
    "Schedule",
    "Train",
    "from_dict",
    "load",
    "promise",
    "shipped",
    "to_toml",
]

FOLDER = Path(__file__).parent / "recipes"
FROM_FOLDER = "folder"
"""The data set of a user's own images."""
EXPERIMENTS = {row.experiment for row in PUBLISHED if row.experiment}


class Range(NamedTuple):
    """Which values a key may have."""

    holds: Callable[[Any], bool]
    wording: str


Count = Annotated[int, Range(lambda value: value >= 1, "1 or more")]
Natural = Annotated[int, Range(lambda value: value >= 0, "0 or more")]
Positive = Annotated[float, Range(lambda value: 0 < value < math.inf, "a finite number above 0")]
NotNegative = Annotated[float, Range(lambda value: 0 <= value < math.inf, "a finite number, 0 or more")]
Share = Annotated[float, Range(lambda value: 0 <= value < 1, "from 0 to below 1")]
OpenShare = Annotated[float, Range(lambda value: 0 < value < 1, "between 0 and 1")]


@dataclass(frozen=True)
class Network:
    """`[network]`: which architecture, and what the recipe decides about it."""

    architecture: str
    last_relu: bool = True
    """Whether the class maps go through a ReLU, as in the paper."""
    dropout: Share = 0.5
    dropout_scaling: Literal["training", "test"] = "training"
    """`training`: what stays is multiplied by 1 / (1 - dropout). `test`: by 1 - dropout later, as the author did."""
    initialisation: Literal["normal", "he"] = "normal"
    """`normal`: N(0, std²), the author's. `he`: N(0, 2 / fan-in), the last layer's weights × 0.1."""
    std: Positive = 0.05
    layer_std: Mapping[str, Positive] = field(default_factory=dict)
    """`normal`: a std of their own for some layers."""


@dataclass(frozen=True)
class Promise:
    """`promise`, in shipped recipes: what was measured. It decides nothing, and no run repeats it."""

    error: str
    """Per cent of the test images, over which seeds."""
    cost: str
    """Time, on what."""


@dataclass(frozen=True)
class Folder:
    """`[folder]`: where the images of the data set `folder` lie, and how they become the network's input."""

    path: str
    """A sub-folder for each class; its name is the label."""
    test_path: str | None = None
    """The test images, in the same way; where it is not named, a share of `path` is the test set."""
    test_share: OpenShare = 0.2
    """Of each class, drawn by `seed` and the files' names."""
    seed: Natural = 0
    height: Count | None = None
    """In pixels, as `width`; the architecture's where it is not named."""
    width: Count | None = None
    fit: Literal["stretch", "crop"] = "stretch"
    """`stretch`: to that size. `crop`: the shorter side to that size, and the middle of the longer one."""


@dataclass(frozen=True)
class Augmentation:
    """`[augmentation]`, applied after preprocessing; off where not named (paper §4.2 pads by 4 and flips)."""

    padding: Natural = 0
    """Zeros on each side, of which a random crop of the first size is cut."""
    flip: bool = False


@dataclass(frozen=True)
class Train:
    """`[train]`: how long, and in which portions."""

    epochs: Count
    """With `schedule.kind` `plateau` at most so many."""
    batch_size: Count = 128
    micro_batch: Count | None = None
    """Images that go through the network at once; the gradient is that of the whole batch. Where it is not named, 32 on a CPU,
    so that the activations stay in its cache, and all on a GPU."""
    validation: Natural = 0
    """Images at the end of the training set that are held out and reported on after each epoch."""
    test_curve: bool = False
    """Whether the test error is counted after each epoch too, to be drawn beside the paper's Figure 3; choose nothing by it."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 where the hardware computes in it."""


@dataclass(frozen=True)
class Optimizer:
    """`[optimizer]`: stochastic gradient descent with momentum, and the paper's groups of parameters."""

    learning_rate: Positive
    """Of the weights, at the schedule's highest."""
    momentum: Share = 0.9
    weight_decay: NotNegative = 1e-4
    """Of the weights; biases have none."""
    bias_rate: NotNegative = 2.0
    """Learning rate of the biases over that of the weights."""
    last_layer_rate: NotNegative = 0.1
    """Learning rate of the last layer over that of the others."""
    label_smoothing: Share = 0.0


@dataclass(frozen=True)
class Schedule:
    """`[schedule]`: the learning rate over time, and the averaging of the weights."""

    kind: Literal["stepped", "plateau", "one-cycle"]
    drops: tuple[Count, ...] = ()
    """`stepped`: epochs after which the rate is divided by 10."""
    patience: Count = 5
    """`plateau`: epochs without a new lowest training error after which the rate is divided by 10, twice; the third time the
    training ends (paper §4: "until the accuracy on the training set stops improving")."""
    warm_up: Share = 0.1
    """`one-cycle`: share of the steps that rise to the full rate; the rest falls to 0 along a cosine."""
    average: Share = 0.0
    """Decay, per step, of an exponential moving average of the weights; 0 keeps the last weights."""


@dataclass(frozen=True)
class Recipe:
    """All that decides the outcome of a training, but for the seed."""

    name: str
    dataset: str
    network: Network
    train: Train
    optimizer: Optimizer
    schedule: Schedule
    preprocessing: tuple[str, ...] = ("scale", "standardise")
    """Steps in front of the network, first to last: names of `nin_onnx.train.preprocessing.STEPS`."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    experiment: str | None = None
    """The published figure that the result is measured by."""
    folder: Folder | None = None
    """For the data set `folder` only."""

    def table(self, classes: int | None = None) -> Architecture:
        """The network's table; adapted to the size of a folder's images and to its `classes`."""
        table = architecture(self.network.architecture)
        if self.folder is None:
            return table
        channels, height, width = table.input
        return table.adapted((channels, self.folder.height or height, self.folder.width or width), classes or table.classes)


def shipped() -> tuple[str, ...]:
    """Names of the recipes that come with nin-onnx."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def promise(name: str) -> Promise | None:
    """What the shipped recipe `name` says of its outcome; None where it was not run yet."""
    table = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    return _build(Promise, table["promise"], "promise.", name) if "promise" in table else None


def load(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """The shipped recipe of that name, or the one in a file that ends in `.toml`.

    `overrides` are `key=value`, the value as TOML writes it (`train.epochs=40`); they rename the recipe
    `…-modified`. Raises `RecipeError` or `UnknownNameError`.
    """
    path = Path(recipe)
    if path.suffix != ".toml":
        if recipe not in shipped():
            raise UnknownNameError("recipe", recipe, shipped())
        path = FOLDER / f"{recipe}.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read the recipe '{path}' ({error.strerror}): give a .toml file or a shipped name") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"'{path}' is no TOML: {error}") from error
    table.pop("promise", None)  # of the shipped recipe: what came out, not how
    for override in overrides:
        _override(table, override)
    name = f"{path.stem}-modified" if overrides else path.stem  # no figure of a changed recipe goes under the recipe's own name
    return from_dict({"name": name, **table}, source=path.name)


def from_dict(table: Mapping[str, Any], source: str) -> Recipe:
    """The recipe in `table`, checked; `source` is what errors call it."""
    recipe = _build(Recipe, table, "", source)
    assert isinstance(recipe, Recipe)
    _check(recipe, source)
    return recipe


def to_toml(recipe: Recipe) -> str:
    """The recipe with every key written out, as TOML that `load` reads."""
    table = {key: value for key, value in asdict(recipe).items() if value is not None}
    lines = [f"{key} = {_toml(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for section, values in table.items():
        if isinstance(values, dict):
            named = {key: value for key, value in values.items() if value is not None}
            lines += ["", f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in named.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """`value` as TOML writes it: as JSON does, but that TOML has no surrogate pairs, wants DEL escaped, and = in tables."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _override(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise RecipeError(f"'{override}' should be key=value, as in train.epochs=40")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a string: shells eat the quotes that TOML wants
    *sections, name = key.strip().split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise RecipeError(f"'{key}' cannot be set: '{section}' is no section")
    table[name] = value


def _build(kind: Any, table: Mapping[str, Any], prefix: str, source: str) -> Any:
    hints = get_type_hints(kind, include_extras=True)
    table = {key: value for key, value in table.items() if value is not None}  # in a checkpoint's JSON: a key that is not named
    for key in table:
        if key not in hints:
            near = get_close_matches(key, hints, n=1)
            hint = f": did you mean '{prefix}{near[0]}'?" if near else f", known are {', '.join(hints)}"
            raise RecipeError(f"{source}: unknown key '{prefix}{key}'{hint}")
    values = {}
    for item in fields(kind):
        if item.name in table:
            values[item.name] = _convert(hints[item.name], table[item.name], f"{prefix}{item.name}", source)
        elif item.default is item.default_factory:  # both are MISSING
            raise RecipeError(f"{source}: '{prefix}{item.name}' is missing")
    return kind(**values)


def _convert(hint: Any, value: Any, key: str, source: str) -> Any:
    if get_origin(hint) in (Union, UnionType):  # TOML has no None: a key that is there has the other type
        return _convert(get_args(hint)[0], value, key, source)
    if is_dataclass(hint):
        if isinstance(value, Mapping):
            return _build(hint, value, f"{key}.", source)
        expected = f"a section [{key}]"
    elif get_origin(hint) is Annotated:
        plain, allowed = get_args(hint)
        converted = _convert(plain, value, key, source)
        if allowed.holds(converted):
            return converted
        expected = allowed.wording
    elif get_origin(hint) is Literal:
        if value in get_args(hint):
            return value
        expected = " or ".join(f"'{choice}'" for choice in get_args(hint))
    elif get_origin(hint) is Mapping:
        if isinstance(value, Mapping):
            return {name: _convert(get_args(hint)[1], one, f"{key}.{name}", source) for name, one in value.items()}
        expected = "a table {name = value}"
    elif get_origin(hint) is tuple:
        if isinstance(value, list | tuple):
            return tuple(_convert(get_args(hint)[0], one, f"{key}[{i}]", source) for i, one in enumerate(value))
        expected = "a list in brackets"
    elif hint is float:
        if type(value) in (int, float):
            return float(value)
        expected = "a number"
    else:
        if type(value) is hint:
            return value
        expected = {str: "a string", int: "a whole number", bool: "true or false"}[hint]
    raise RecipeError(f"{source}: '{key}' is {value!r}, expected {expected}")


def _check(recipe: Recipe, source: str) -> None:
    from nin_onnx.data import DATASETS
    from nin_onnx.train.preprocessing import STEPS

    named: tuple[tuple[str, tuple[str, ...], Collection[str]], ...] = (
        ("architecture", (recipe.network.architecture,), ARCHITECTURES),
        ("data set", (recipe.dataset,), (*DATASETS, FROM_FOLDER)),
        ("preprocessing step", recipe.preprocessing, STEPS),
        ("experiment", (recipe.experiment,) if recipe.experiment is not None else (), EXPERIMENTS),
    )
    for kind, given, known in named:
        for name in given:
            if name not in known:
                raise RecipeError(f"{source}: {UnknownNameError(kind, name, known)}")
    if len(set(recipe.preprocessing)) < len(recipe.preprocessing):
        raise RecipeError(f"{source}: 'preprocessing' is {list(recipe.preprocessing)}, expected each step once")
    rows = {row.name for row in ARCHITECTURES[recipe.network.architecture].rows}
    if unknown := set(recipe.network.layer_std) - rows:
        raise RecipeError(f"{source}: {UnknownNameError('layer', min(unknown), rows)}")
    if (recipe.dataset == FROM_FOLDER) != (recipe.folder is not None):
        raise RecipeError(f"{source}: the data set '{FROM_FOLDER}' and a section [folder] with its path go together: name both")
