"""`--no-skips`: where everything is at hand, a skipped test is a failed one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"


@pytest.mark.parametrize(
    ("reason", "options", "status"),
    [("real data absent", [], 0), ("real data absent", ["--no-skips"], 1), ("no NVIDIA GPU: none found", ["--no-skips"], 0)],
)
def test_only_an_unexpected_skip_fails_and_only_when_asked(reason: str, options: list[str], status: int, tmp_path: Path) -> None:
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "test_it.py").write_text(f"import pytest\ndef test_skips(): pytest.skip({reason!r})\ndef test_passes(): pass\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--override-ini=addopts=", *options, "."]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env={"PATH": "", "PYTHONPATH": str(CONFTEST.parent / "shared")}
    )
    assert run.returncode == status, run.stdout + run.stderr
    assert (f"test_it.py::test_skips: Skipped: {reason}" in run.stdout) == (status == 1)
