"""Which part of nin-onnx may import which: nothing flows back."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGES = ("train", "export", "runtimes")
"""In the order of the flow; each may import those before it, and the core."""
FACE = ("nin_onnx/cli.py", "nin_onnx/__main__.py", "nin_onnx/commands")
"""What calls the stages for users."""
LATER = {
    "core": STAGES,
    "train": ("export", "runtimes", "cli", "commands"),
    "export": ("runtimes", "cli", "commands"),
    "runtimes": ("cli", "commands"),
}


def files(part: str) -> Iterator[Path]:
    """The modules of a stage, or of the core without its face."""
    folder = ROOT / ("nin_onnx" if part == "core" else part)
    for path in folder.rglob("*.py"):
        name = str(path.relative_to(ROOT))
        inner = any(parent.is_symlink() for parent in path.parents if parent.is_relative_to(ROOT / "nin_onnx"))
        if not inner and not (part == "core" and name.startswith(FACE)):
            yield path


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield from (f"{module}.{alias.name}" for alias in names)


def test_imports_in_functions_and_for_types_are_seen(tmp_path: Path) -> None:
    lines = "import a.b", "def f():", "    from c import d, e", "if TYPE_CHECKING:", "    from nin_onnx import train"
    (tmp_path / "made_up.py").write_text("\n".join(lines))
    assert sorted(imported(tmp_path / "made_up.py")) == ["a.b", "c.d", "c.e", "nin_onnx.train"]


@pytest.mark.parametrize("part", LATER)
def test_a_part_imports_nothing_that_comes_after_it(part: str) -> None:
    paths = list(files(part))
    assert len(paths) > 10
    back = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in paths
        for name in imported(path)
        if any(f"{name}.".startswith(f"nin_onnx.{later}.") for later in LATER[part])
    ]
    assert back == []
