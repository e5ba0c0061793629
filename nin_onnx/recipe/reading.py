"""Recipes in TOML: read and checked key by key, overridden, and written out."""

import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from nin_onnx import data
from nin_onnx.architecture import ARCHITECTURES
from nin_onnx.errors import RecipeError, UnknownNameError
from nin_onnx.paper import PUBLISHED
from nin_onnx.recipe.renamed import current, current_key
from nin_onnx.recipe.settings import FROM_FOLDER, PREPROCESSING, Promise, Recipe

__all__ = ["FOLDER", "from_dict", "load", "load_shipped", "promise", "read", "shipped", "to_toml"]

FOLDER = Path(__file__).parent / "shipped"
EXPERIMENTS = {row.experiment for row in PUBLISHED if row.experiment}


def shipped() -> tuple[str, ...]:
    """Names of the recipes that come with nin-onnx."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def promise(name: str) -> Promise | None:
    """What the shipped recipe `name` says of its outcome; None where it was not run yet."""
    table = read(FOLDER / f"{name}.toml")
    return _build(Promise, table["promise"], "promise.", name) if "promise" in table else None


def load(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """The shipped recipe of that name, or the one in a file that ends in `.toml`.

    `overrides` are `key=value`, the value as TOML writes it (`train.epochs=40`); they rename the recipe
    `…-modified`, and so does an edit in a copy of a shipped one. Raises `RecipeError` or `UnknownNameError`.
    """
    path = Path(recipe)
    own_file = path.suffix == ".toml"
    if not own_file:
        if recipe not in shipped():
            raise UnknownNameError("recipe", recipe, shipped())
        path = FOLDER / f"{recipe}.toml"
    table = current(read(path))
    table.pop("name", None)  # a recipe is called as its file, whatever it was copied from
    table.pop("promise", None)  # of the shipped recipe: what came out, not how
    for override in overrides:
        _override(table, override)
    loaded = from_dict({"name": path.stem, **table}, source=path.name)
    modified = overrides or (own_file and path.stem in shipped() and loaded != load(path.stem))
    # No figure of a changed recipe goes under the recipe's own name.
    return replace(loaded, name=f"{path.stem}-modified") if modified else loaded


@cache
def load_shipped(name: str) -> Recipe:
    """Return the shipped recipe `name`, read once."""
    return load(name)


def read(path: Path) -> dict[str, Any]:
    """The keys and values in a TOML file, not checked; raises `RecipeError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read the recipe '{path}' ({error.strerror}): give a .toml file or a shipped name") from error
    except ValueError as error:  # no TOML, no UTF-8, or a number with more digits than Python reads
        raise RecipeError(f"'{path}' is not valid TOML: {error}") from error


def from_dict(table: Mapping[str, Any], source: str) -> Recipe:
    """The recipe in `table`, checked; `source` is what errors call it."""
    recipe = _build(Recipe, current(table), "", source)
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
    if key.strip() == "name":
        raise RecipeError(f"'{override}' cannot be set: a recipe is called as its file; name the run's folder (--out) instead")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        value = text  # a bare word is a string: shells eat the quotes that TOML wants
    *sections, name = current_key(key.strip()).split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise RecipeError(f"'{key}' cannot be set: '{section}' is not a section")
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
            return float(str(value))  # infinite, where float() of a whole number has no room for it
        expected = "a number"
    else:
        if type(value) is hint:
            return value
        expected = {str: "a string", int: "a whole number", bool: "true or false"}[hint]
    raise RecipeError(f"{source}: '{key}' is {value!r}, expected {expected}")


def _check(recipe: Recipe, source: str) -> None:
    named: tuple[tuple[str, tuple[str, ...], Collection[str]], ...] = (
        ("architecture", (recipe.network.architecture,), ARCHITECTURES),
        ("data set", (recipe.dataset,), (*data.DATASETS, FROM_FOLDER)),
        ("preprocessing step", recipe.preprocessing, PREPROCESSING),
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
