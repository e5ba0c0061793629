"""The report in its formats, a file each: to add one, write its file and add its line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from nin_onnx import atomic

if TYPE_CHECKING:
    from nin_onnx.runtimes.report import Report

__all__ = ["FORMATS", "Format"]


@dataclass(frozen=True)
class Format:
    """A file that `nin-onnx eval` writes if it is asked to."""

    place: str
    """module:function; the function takes the report alone and returns the text."""
    help: str

    def write(self, report: "Report", file: Path) -> None:
        """Write `report` to `file`."""
        module, name = self.place.split(":")
        render = cast("Callable[[Report], str]", getattr(import_module(module), name))
        atomic.write_text(file, render(report))


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "junit": Format("nin_onnx.runtimes.reports.junit:junit", "Write JUnit XML too: a case for each runtime and check."),
        "markdown": Format("nin_onnx.runtimes.reports.markdown:markdown", "Write Markdown too, as for the summary of a CI job."),
    }
)
"""Option of `nin-onnx eval` -> format."""
