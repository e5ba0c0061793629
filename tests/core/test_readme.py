"""What the README says, where a test can tell."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from nin_onnx import models

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["Classifier", "ONNX Runtime"])
def test_a_python_example_runs_beside_a_shipped_model_and_prints_a_label(example: str) -> None:
    folder = models.FOLDER / "nin-mnist"
    done = subprocess.run([sys.executable, "-c", example], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] in list("0123456789")


def test_every_command_in_the_readme_is_one_of_ours() -> None:
    from nin_onnx.cli import cli

    assert set(re.findall(r"nin-onnx ([a-z]+)\b", README)) <= set(cli.commands)
