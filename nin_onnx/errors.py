"""The errors that users meet, each one line: what was given, what was expected, what to do.

NinOnnxError              exit status 2: wrong usage, or nothing could run
├── UnknownNameError      a name that is not in its list; suggests the nearest
├── MissingExtraError     a package that an optional part of nin-onnx needs
├── RecipeError           a recipe that cannot be read, or asks for what does not exist
├── DataError             a data file that is truncated, mislabeled or tampered with
│   └── AbsentDataError   a data set that is not on this machine
├── ImageError            an image that cannot be read, or an array that is not an image
├── RunError              a run folder that cannot be used
├── ModelError            a file that is not a usable ONNX image classifier
├── Interrupted           exit status 130: the user stopped it
└── CheckFailedError      exit status 1: something ran, and its result is wrong
    ├── TrainingError     a training collapsed or its loss became NaN
    └── ExportError       the exported graph does not give the network's answers
"""

from collections.abc import Iterable
from importlib.util import find_spec

__all__ = [
    "AbsentDataError",
    "CheckFailedError",
    "DataError",
    "ExportError",
    "ImageError",
    "Interrupted",
    "MissingExtraError",
    "ModelError",
    "NinOnnxError",
    "RecipeError",
    "RunError",
    "TrainingError",
    "UnknownNameError",
    "UnofficialDataWarning",
    "require",
]


class NinOnnxError(Exception):
    """Root of every error that nin-onnx raises on purpose."""

    exit_status = 2


class UnknownNameError(NinOnnxError):
    """A name that is not in the list of known ones."""

    def __init__(self, kind: str, given: str, known: Iterable[str]) -> None:
        from difflib import get_close_matches

        names = sorted(known)
        near = get_close_matches(given, names, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        super().__init__(f"unknown {kind} '{given}': {hint}known are {', '.join(names)}")


class MissingExtraError(NinOnnxError):
    """A package that is not installed; names the command that installs it."""

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(f"{purpose} needs the package '{package}': pip install 'nin-onnx[{extra}]'")


class RecipeError(NinOnnxError):
    """A recipe that cannot be read, or asks for what does not exist."""


class DataError(NinOnnxError):
    """A data file that is truncated, mislabeled or tampered with."""


class AbsentDataError(DataError):
    """A data set that is not on this machine."""


class ImageError(NinOnnxError):
    """An image that cannot be read, or an array that is not an image."""


class RunError(NinOnnxError):
    """A run folder that cannot be used."""


class ModelError(NinOnnxError):
    """A file that is not a usable ONNX image classifier."""


class Interrupted(NinOnnxError):
    """The user stopped it; says what was kept and how to go on."""

    exit_status = 130


class CheckFailedError(NinOnnxError):
    """Something ran, and its result is wrong."""

    exit_status = 1


class TrainingError(CheckFailedError):
    """A training collapsed, or its loss became NaN; `step` is where that was seen, None if something else went wrong."""

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step


class ExportError(CheckFailedError):
    """The exported graph does not give the network's answers."""


class UnofficialDataWarning(UserWarning):
    """A data set's files are sound, but they are not the official release's."""


def require(purpose: str, extra: str, *packages: str) -> None:
    """Raise `MissingExtraError` for the first of `packages` that is not installed; imports none of them."""
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(purpose, package, extra)
