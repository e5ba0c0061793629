"""A run by a program that is not in this repository says so, and never goes under a commit."""

from typing import Any

import pytest

from nin_onnx.results.made_by import Program, code, program

SHA256 = "c4feef95f366" + 52 * "0"
MADE_BY = {"program": "fast.py", "sha256": SHA256, "on": "6e36f3b18888"}


@pytest.mark.parametrize(
    ("summary", "told"),
    [
        ({"commit": "5566eb133bb0"}, "5566eb133bb0"),
        ({"commit": None}, ""),
        ({"commit": "5566eb133bb0", "made_by": None}, "5566eb133bb0"),
        ({"commit": None, "made_by": MADE_BY}, "no commit: fast.py (sha256 c4feef95f366) on top of 6e36f3b18888"),
        ({"commit": None, "made_by": {**MADE_BY, "on": None}}, "no commit: fast.py (sha256 c4feef95f366)"),
    ],
)
def test_a_table_names_the_commit_or_the_program_that_was_none(summary: dict[str, Any], told: str) -> None:
    assert code(summary) == told


def test_the_program_is_read_as_it_was_written() -> None:
    assert program({"commit": None, "made_by": MADE_BY}) == Program("fast.py", SHA256, "6e36f3b18888")
    assert program({"commit": None}) is None


@pytest.mark.parametrize(
    "summary",
    [
        {"commit": "6e36f3b18888", "made_by": MADE_BY},  # only one of them can be true
        {"commit": None, "made_by": "fast.py"},
        {"commit": None, "made_by": {}},
        {"commit": None, "made_by": {**MADE_BY, "surprise": 1}},
        {"commit": None, "made_by": {**MADE_BY, "program": "\x1b[2J"}},
        {"commit": None, "made_by": {**MADE_BY, "program": "a | b"}},
        {"commit": None, "made_by": {**MADE_BY, "program": 3}},
        {"commit": None, "made_by": {**MADE_BY, "sha256": "c4feef95f366"}},
        {"commit": None, "made_by": {**MADE_BY, "on": "main"}},
    ],
    ids=str,
)
def test_what_cannot_be_so_is_refused(summary: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        program(summary)
