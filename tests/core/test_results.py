"""`nin-onnx results`: what its tables show, and that README.md and results/README.md show them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from nin_onnx.cli import cli

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"


def tables(text: str) -> list[list[list[str]]]:
    """The cells of each table, below its head."""
    return [
        [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]
        for table in text.split("\n\n")
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three runs: the shipped one, the same with another seed on another machine, and one that was ended sooner."""
    shipped = json.loads((RESULTS / "mnist-modern-seed0.json").read_text())
    other = {**shipped, "seed": 1, "device": "NVIDIA H100", "test": {**shipped["test"], "errors": 60, "error": 0.6}}
    settings = {**shipped["settings"], "train": {**shipped["settings"]["train"], "epochs": 2}}
    shorter = {**shipped, "recipe": "mnist-modern-modified", "epochs": 2, "settings": settings}
    for number, summary in enumerate((shipped, other, shorter)):
        (tmp_path / f"{number}.json").write_text(json.dumps(summary))
    return tmp_path


def test_a_figures_row_shows_mean_deviation_runs_verdict_and_cost_for_each_protocol(
    printed: Callable[..., str], folder: Path
) -> None:
    (figures,) = tables(printed("results", folder))
    (mnist,) = (row for row in figures if row[0] == "Table 4")
    assert mnist[:6] == ["Table 4", "mnist", "NIN + dropout", "0.47", "", "not run"]
    assert mnist[7:] == [
        "0.52 ± 0.11 (n = 2)",
        "within noise",
        "10.1 min each, AMD EPYC, 2 cores, bfloat16; NVIDIA H100, bfloat16",
    ]


def test_a_run_shows_interval_and_where_it_comes_from(printed: Callable[..., str], folder: Path) -> None:
    (runs,) = tables(printed("results", folder, "--runs"))
    first = runs[0]
    assert first[:6] == ["mnist-modern", "0", "", "0.44 [0.33, 0.59]", "reached", "8"]
    assert "train official, 91fd7a250495; test official, ffebde4273aa" in first
    assert first[-1].removesuffix(" |") == "d030693709e2"


def test_a_run_that_was_ended_sooner_shows_what_differs_and_no_verdict(printed: Callable[..., str], folder: Path) -> None:
    (runs,) = tables(printed("results", folder, "--runs"))
    assert runs[2][:6] == ["mnist-modern", "0", "train.epochs = 2 (8)", "0.44 [0.33, 0.59]", "", "2"]


def test_what_is_missing_has_a_command_that_runs_it(printed: Callable[..., str], folder: Path) -> None:
    *lines, last = printed("results", folder, "--missing").splitlines()
    assert last.endswith("nin-onnx reproduce")
    assert lines[0].split() == ["Table", "4", "0.47", "%", "nin-onnx", "train", "mnist-modern", "--seed", "2"]
    listed = json.loads(printed("results", folder, "--missing", "--json"))["missing"]
    assert [run["command"] for run in listed] == [line.partition("%  ")[2] for line in lines]


def test_a_network_that_died_is_listed_below_the_runs_and_its_seed_is_not_missing(
    printed: Callable[..., str], folder: Path
) -> None:
    collapse = json.loads((RESULTS / "dead" / "cifar10-no-dropout-seed1.json").read_text())
    changed = {**collapse, "seed": 0, "settings": {**collapse["settings"], "dataset": "cifar100"}}
    (folder / "dead").mkdir()
    for number, one in enumerate((collapse, changed)):
        (folder / "dead" / f"{number}.json").write_text(json.dumps(one))
    _, dead = tables(printed("results", folder, "--runs"))
    assert [row[:4] for row in dead] == [
        ["cifar10-no-dropout", "0", "dataset = cifar100 (cifar10)", "235"],
        ["cifar10-no-dropout", "1", "", "235"],
    ]
    owed = {run["recipe"]: run["seed"] for run in json.loads(printed("results", folder, "--missing", "--json"))["missing"]}
    assert owed["cifar10-no-dropout"] == 0  # it died with other settings
    assert [one["seed"] for one in json.loads(printed("results", folder, "--json"))["dead"]] == [0, 1]


def test_a_run_or_a_death_by_other_code_names_it_instead_of_a_commit(printed: Callable[..., str], folder: Path) -> None:
    made_by = {"program": "fast.py", "sha256": 64 * "0", "on": "6e36f3b18888"}
    shipped = json.loads((folder / "0.json").read_text())
    (folder / "0.json").write_text(json.dumps({**shipped, "commit": None, "made_by": made_by}))
    collapse = json.loads((RESULTS / "dead" / "cifar10-no-dropout-seed1.json").read_text())
    (folder / "dead").mkdir()
    (folder / "dead" / "0.json").write_text(json.dumps({**collapse, "commit": None, "made_by": made_by}))
    runs, dead = tables(printed("results", folder, "--runs"))
    said = "no commit: fast.py (sha256 000000000000) on top of 6e36f3b18888"
    assert [rows[0][-1].removesuffix(" |") for rows in (runs, dead)] == [said, said]
    (figures,) = tables(printed("results", folder))
    (cost,) = (row[-1] for row in figures if row[0] == "Table 4")
    assert cost.removesuffix(" |").endswith(", by fast.py (not in this repository)")


def test_training_errors_next_to_figure_3_are_a_table_of_their_own(printed: Callable[..., str]) -> None:
    *_, training = tables(printed("results", RESULTS))
    ours = [row for row in training if row[1].startswith("seed 1, 260 epochs")]
    assert [row[2:] for row in ours] == [
        ["24", "15.24", "17.10", "-1.86"],
        ["80", "7.28", "7.90", "-0.62"],
        ["200", "5.49", "5.80", "-0.31"],
    ]


def test_two_tables_at_once_are_refused(folder: Path) -> None:
    done = CliRunner().invoke(cli, ["results", str(folder), "--runs", "--missing"])
    assert (done.exit_code, "give one of them" in done.output) == (2, True)


def test_json_tells_the_figures_and_every_run(printed: Callable[..., str], folder: Path) -> None:
    told = json.loads(printed("results", folder, "--json"))
    (mnist,) = (row for row in told["figures"] if row["published"]["place"] == "Table 4")
    assert mnist["modern"]["seeds"] == [0, 1]
    assert mnist["modern"]["mean"] == pytest.approx(0.52)
    assert mnist["paper"]["verdict"] == {"word": "not run"}
    assert [run["counts"] for run in told["runs"]] == [True, True, False]


@pytest.mark.parametrize(("file", "options"), [("README.md", ()), ("results/README.md", ("--runs",))])
def test_a_document_shows_the_tables_that_the_command_prints(printed: Callable[..., str], file: str, options: tuple[str]) -> None:
    assert printed("results", RESULTS, *options) in (ROOT / file).read_text(encoding="utf-8")
