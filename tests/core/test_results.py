import json
from pathlib import Path

import pytest

from nin_onnx import results
from nin_onnx.errors import NinOnnxError

ROOT = Path(__file__).parents[2]

SUMMARY = {
    "recipe": "mnist",
    "experiment": "mnist",
    "seed": 3,
    "epochs": 2,
    "seconds": 90.0,
    "images_per_second": 1333.3,
    "device": "cpu",
    "precision": "bfloat16",
    "hardware": {"processor": "Some CPU", "cores": 2},
    "versions": {"torch": "2.13.0", "python": "3.11.7"},
    "commit": "abc123",
    "dataset": {"name": "mnist", "split": "train", "images": 60_000, "provenance": "official", "fingerprint": "fedcba9876543210"},
    "test": {
        "name": "mnist",
        "split": "test",
        "images": 10_000,
        "errors": 60,
        "error": 0.6,
        "low": 0.47,
        "high": 0.77,
        "provenance": "unofficial copy",
        "fingerprint": "0123456789abcdef",
    },
}


def write(folder: Path, name: str, **changes: object) -> None:
    (folder / name).write_text(json.dumps(SUMMARY | changes))


def test_a_line_says_error_interval_published_figure_verdict_cost_and_provenance(tmp_path: Path) -> None:
    write(tmp_path, "a.json")
    line = results.table(results.read(tmp_path)).splitlines()[-1]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:8] == ["mnist", "3", "0.60 [0.47, 0.77]", "0.47", "fell short (unofficial copy)", "2", "1.5", "1,333"]
    assert "train official, fedcba987654; test unofficial copy, 0123456789ab" in cells
    assert cells[-1] == "abc123"


def test_an_experiment_that_the_paper_has_no_figure_for_has_no_verdict(tmp_path: Path) -> None:
    write(tmp_path, "a.json", recipe="digits", experiment=None)
    cells = [cell.strip() for cell in results.table(results.read(tmp_path)).splitlines()[-1].split("|")]
    assert cells[4:6] == ["", ""]


def test_lines_are_ordered_by_recipe_and_seed_whatever_the_files_are_called(tmp_path: Path) -> None:
    write(tmp_path, "1.json", seed=10)
    write(tmp_path, "2.json", seed=9)
    write(tmp_path, "3.json", recipe="digits")
    assert [(one["recipe"], one["seed"]) for one in results.read(tmp_path)] == [("digits", 3), ("mnist", 9), ("mnist", 10)]


@pytest.mark.parametrize("content", ["{", "[]", '{"recipe": "mnist", "seed": 0}'])
def test_a_file_that_is_no_summary_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "odd.json").write_text(content)
    with pytest.raises(NinOnnxError, match=r"odd\.json"):
        results.read(tmp_path)


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(NinOnnxError, match="holds no results"):
        results.read(tmp_path / "nothing")


def test_the_readme_shows_the_table_that_the_command_prints() -> None:
    assert results.table(results.read(ROOT / "results")) in (ROOT / "README.md").read_text(encoding="utf-8")
