"""A folder of results, and what fills it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from summaries import summary

Write = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


@pytest.fixture
def write(folder: Path) -> Write:
    """Puts a summary into the folder, under the next number."""

    def put(*arguments: Any, **changes: Any) -> None:
        number = len(list(folder.iterdir()))
        (folder / f"{number}.json").write_text(json.dumps(summary(*arguments, **changes)))

    return put
