"""CONTRIBUTING.md says which files it takes to add something: they exist, they are few, and adding it there is enough."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROWS = {
    kind: (write, line)
    for kind, write, line, _ in (
        [cell.strip() for cell in row.strip("|").split(" | ")] for row in re.findall(r"^\| an? [^\n]+\|$", TEXT, re.MULTILINE)
    )
}
CODE = re.compile(r"`([\w/]+\.(?:py|toml))`")

RUNTIME = """
from nin_onnx.runtimes.backends.reference import Reference

class Added(Reference):
    pass
"""
FORMAT = """
def added(report):
    return f"{len(report.rows)} runtimes, status {report.exit_status}"
"""
CRITERION = """
def _enough(criteria, rows):
    for row in rows:
        if row.accuracy and row.accuracy.images < criteria.min_images:
            yield Unmet(row.runtime, "images", f"only {row.accuracy.images} images")

"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What a checkout has of code."""
    for name in ("nin_onnx", "train", "export", "runtimes"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def command(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "nin_onnx", *arguments], cwd=copy, capture_output=True, text=True)


def insert(file: Path, after: str, line: str) -> None:
    """Put `line` behind the only line that begins with `after`."""
    lines = file.read_text(encoding="utf-8").splitlines()
    (number,) = (number for number, one in enumerate(lines, 1) if one.startswith(after))
    file.write_text("\n".join([*lines[:number], line, *lines[number:], ""]), encoding="utf-8")


def named(kind: str) -> set[str]:
    """The code files that the table names for `kind`."""
    return {file for cell in ROWS[kind] for file in CODE.findall(cell)}


def changed(copy: Path) -> set[str]:
    """The code files of `copy` that are not as in this checkout."""
    files = (path for path in copy.rglob("*.py") if not any(part.is_symlink() for part in (path, *path.parents)))
    names = (path.relative_to(copy) for path in files)
    return {
        str(name) for name in names if not (ROOT / name).is_file() or (ROOT / name).read_bytes() != (copy / name).read_bytes()
    }


def test_the_table_has_what_there_is_to_add() -> None:
    kinds = (
        "runtime, precision, criterion of `eval`, graph pass, data set, preprocessing step, recipe setting, report format, bundle"
    )
    assert {f"a {kind}" for kind in kinds.split(", ")} <= {*ROWS}


@pytest.mark.parametrize("kind", ROWS)
def test_the_files_that_the_table_names_exist_and_are_two_at_most(kind: str) -> None:
    files = named(kind)
    assert len(files) <= 2
    assert [file for file in files if "NAME" not in file and not (ROOT / file).is_file()] == []


def test_a_runtime_that_is_added_so_is_evaluated(copy: Path) -> None:
    (copy / "runtimes/backends/added.py").write_text(RUNTIME)
    line = '    "added": "nin_onnx.runtimes.backends.added:Added",'
    insert(copy / "runtimes/backends/registry.py", "RUNTIMES", line)
    done = command(copy, "eval", "nin-digits", "--runtime", "added")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^added +pass ", done.stdout, re.MULTILINE)
    assert changed(copy) == {file.replace("NAME", "added") for file in named("a runtime")}


def test_a_report_format_that_is_added_so_is_an_option_and_is_written(copy: Path) -> None:
    (copy / "runtimes/reports/added.py").write_text(FORMAT)
    insert(
        copy / "runtimes/reports/__init__.py",
        "    {",
        '        "added": Format("nin_onnx.runtimes.reports.added:added", "Added."),',
    )
    done = command(copy, "eval", "nin-digits", "--runtime", "reference", "--added", "added.txt")
    assert done.returncode == 0, done.stderr
    assert (copy / "added.txt").read_text() == "1 runtimes, status 0"
    assert changed(copy) == {file.replace("NAME", "added") for file in named("a report format")}


def test_a_criterion_that_is_added_so_decides_the_exit_status(copy: Path) -> None:
    criteria = copy / "runtimes/criteria.py"
    insert(criteria, "    max_error:", "    min_images: int = 0")
    text = criteria.read_text().replace("\nCHECKS:", f"{CRITERION}\nCHECKS:").replace("_accurate)\n", "_accurate, _enough)\n")
    criteria.write_text(text)
    option = '@click.option("--min-images", type=int, default=0)'
    insert(copy / "nin_onnx/commands/evaluate.py", '@click.option("--require-reproduced"', option)
    evaluate = ("eval", "nin-digits", "--runtime", "reference", "--limit", "300", "--junit", "junit.xml", "--min-images")
    outcomes = {images: command(copy, *evaluate, images) for images in ("300", "301")}
    assert [done.returncode for done in outcomes.values()] == [0, 1]
    assert outcomes["301"].stdout.endswith("FAIL: reference: only 300 images\n")
    assert 'name="images"><failure message="only 300 images"' in re.sub(r">\s+<", "><", (copy / "junit.xml").read_text())
    assert changed(copy) == named("a criterion of `eval`")
