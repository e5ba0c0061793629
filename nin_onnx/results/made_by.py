"""Which code trained a network: a commit of this repository, or a program that is not in it.

Such a program is named in the summary's `made_by`, and the summary then has no `commit`:

    "made_by": {"program": "fast.py", "sha256": "…", "on": "6e36f3b18888"}     `on`: the commit whose modules it used, or null
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Program", "code", "program"]


@dataclass(frozen=True)
class Program:
    """A program that is not in this repository."""

    program: str
    """Its file's name."""
    sha256: str
    on: str | None
    """The commit of this repository whose modules it used; None if it used none."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for what is not valid."""
        if not re.fullmatch(r"\w[\w.-]{0,99}", self.program):
            raise ValueError(f"'{self.program}' is not valid as a program's file name")
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"'{self.sha256}' is not valid as a SHA-256: 64 hexadecimal digits")
        if self.on is not None and not re.fullmatch(r"[0-9a-f]{7,40}", self.on):
            raise ValueError(f"'{self.on}' is not valid as a commit: 7 to 40 hexadecimal digits")

    def __str__(self) -> str:
        on = f" on top of {self.on}" if self.on else ""
        return f"no commit: {self.program} (sha256 {self.sha256[:12]}){on}"


def program(summary: Mapping[str, Any]) -> Program | None:
    """Return the program that made `summary`, or None for code of this repository; raises `ValueError` or `TypeError`."""
    told = summary.get("made_by")
    if told is None:  # also of summaries that are older than the key
        return None
    made_by = Program(**told)
    if summary["commit"] is not None:
        raise ValueError(f"made by {made_by.program} and by commit '{summary['commit']}': only one of them can be true")
    return made_by


def code(summary: Mapping[str, Any]) -> str:
    """Return what a table says of the code: its commit, the program that was no commit, or nothing if neither is known."""
    made_by = program(summary)
    return str(made_by) if made_by else summary["commit"] or ""
