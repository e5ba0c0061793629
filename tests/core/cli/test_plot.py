"""`nin-onnx plot`: the files it writes, the table of Figure 3, and a broken run."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nin_onnx.run import Epoch
from nin_onnx.train.writable_run import WritableRun

if TYPE_CHECKING:
    from tests.core.cli.conftest import Command


@pytest.fixture
def curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the runs `with` and `without` of Figure 3's experiments and `other` of none."""
    monkeypatch.chdir(tmp_path)
    for name, experiment in (("with", "cifar10"), ("without", "cifar10-no-dropout"), ("other", None)):
        (tmp_path / name).mkdir()
        key = f'experiment = "{experiment}"\n' if experiment else ""
        (tmp_path / name / "recipe.toml").write_text(f'name = "{name}"\n{key}')
        WritableRun(tmp_path / name).write_metrics(
            [Epoch(number, 0.1, 1.0, 30.0, None, 20.0, 1.0, 1.0) for number in range(1, 25)]
        )
    return tmp_path


def test_plotting_writes_one_run_into_its_folder_and_several_here(curves: Path, command: "Command") -> None:
    assert command("plot", "other") == (0, f"{Path('other') / 'curves.png'}\n", "")
    assert command("plot", "other", "with").out.splitlines()[-1] == "curves.png"
    assert command("plot", "other", "--out", "to/one.SVG") == (0, f"{Path('to') / 'one.SVG'}\n", "")
    pictures = {"other/curves.png": b"\x89PNG", "curves.png": b"\x89PNG", "to/one.SVG": b"<?xml"}
    assert [name for name, magic in pictures.items() if not (curves / name).read_bytes().startswith(magic)] == []
    assert not list(curves.rglob("*.part"))


def test_plotting_compares_the_runs_of_figure_3_with_it(curves: Path, command: "Command") -> None:
    result = command("plot", "with", "other", "without")
    assert [line.split() for line in result.out.splitlines()[1:]] == [
        ["with", "test", "20", "-", "24", "20.00", "21.50", "-1.50"],
        ["with", "train", "24", "30.00", "17.10", "+12.90"],
        ["without", "test", "20", "-", "24", "20.00", "23.73", "-3.73"],
        ["without", "train", "24", "30.00", "10.00", "+20.00"],
        ["curves.png"],
    ]
    found = json.loads(command("plot", "with", "other", "without", "--json").out)
    assert found["file"] == "curves.png"
    assert [(row["run"], row["first_epoch"], row["last_epoch"], row["ours"]) for row in found["figure3"]] == [
        ("with", 20, 24, 20.0),
        ("with", 24, 24, 30.0),
        ("without", 20, 24, 20.0),
        ("without", 24, 24, 30.0),
    ]
    assert [row["paper"] for row in found["figure3"]] == pytest.approx([21.5, 17.1, 23.725, 10.0])
    assert [row["difference"] for row in found["figure3"]] == pytest.approx([-1.5, 12.9, -3.725, 20.0])


def test_plotting_a_broken_run_writes_nothing(curves: Path, command: "Command") -> None:
    file = Path("with") / "metrics.csv"
    file.write_bytes(file.read_bytes()[:-3])
    command("plot", "other", "with").assert_error(2, f"'{file}' is broken", "expected a whole line", "copy it anew")
    assert not list(curves.rglob("curves.*"))
