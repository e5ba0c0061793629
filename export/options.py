"""What every export can be asked for."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from nin_onnx.errors import UnknownNameError
from nin_onnx.export.bundles import BUNDLES
from nin_onnx.export.passes import PASSES, Pass

__all__ = ["ExportOptions", "Settings", "check_known", "settings_from"]

RENAMED = {"licence": "license"}
"""Options that had another name."""


class ExportOptions(TypedDict, total=False):
    """Keyword arguments of both `export` and `export_run`, none of which is required."""

    license: str | None
    """License of the weights, as SPDX writes it, for the card."""
    bundles: Sequence[str]
    """Other layouts to write as well: keys of `nin_onnx.export.bundles.BUNDLES`."""
    dynamic_size: bool
    """Whether the graph takes images of any height and width."""
    passes: tuple[Pass, ...]
    """What turns torch's graph into the one that is written, instead of `nin_onnx.export.passes.PASSES`."""


@dataclass(frozen=True)
class Settings:
    """`ExportOptions` with the defaults; raises `UnknownNameError` for an unknown bundle."""

    license: str | None = None
    bundles: Sequence[str] = ()
    dynamic_size: bool = False
    passes: tuple[Pass, ...] = PASSES

    def __post_init__(self) -> None:
        check_known("bundle", self.bundles, BUNDLES)


def settings_from(options: ExportOptions) -> Settings:
    """Return `options` with the defaults, and under the names of now; raises `UnknownNameError` for an unknown bundle."""
    given: dict[str, Any] = {RENAMED.get(name, name): value for name, value in options.items()}
    return Settings(**given)


def check_known(kind: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raise `UnknownNameError` for the first of `given` that is not one of `known`."""
    for name in given:
        if name not in known:
            raise UnknownNameError(kind, name, known)
