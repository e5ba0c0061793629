"""The models that ship: what their cards tell, on the real test images."""

import json
from pathlib import Path

import onnx
import pytest

from nin_onnx import data, models
from nin_onnx.card import Card, read_card
from nin_onnx.runtimes import EvalOptions, Report, evaluate
from nin_onnx.runtimes.backends.registry import ON_REQUEST
from nin_onnx.runtimes.diagnosis import diagnose

RESULTS = Path(__file__).parents[2] / "results"
ANY_COPY = pytest.mark.filterwarnings("ignore::nin_onnx.data.files.UnofficialDataWarning")  # the card tells which it was


def judged(model: str, data_dir: Path, *runtimes: str, limit: int | None = None) -> Report:
    dataset = data.load(card_of(model).dataset["name"], "test", data_dir)
    return evaluate(models.find(model), EvalOptions(runtimes=runtimes, dataset=dataset, limit=limit))


def card_of(model: str) -> Card:
    card = read_card(onnx.load(models.find(model)))
    assert card
    return card


@ANY_COPY
@pytest.mark.slow  # CI has a step for it
@pytest.mark.timeout(900)
@pytest.mark.parametrize("model", models.shipped())
def test_a_shipped_model_makes_the_errors_that_its_card_tells(model: str, data_dir: Path) -> None:
    told = card_of(model).test
    assert told
    (row,) = judged(model, data_dir, "onnxruntime").rows
    assert row.outcome == "pass"
    assert row.accuracy
    assert row.accuracy.images == told["images"]
    assert abs(row.accuracy.errors - told["errors"]) <= 2


@ANY_COPY
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("model", models.shipped())
def test_a_shipped_model_in_8_bits_makes_at_most_one_error_more_in_1_000_images(model: str, data_dir: Path) -> None:
    """And changes at most one label in 100, as its card tells, give or take what another processor rounds otherwise."""
    told = card_of(f"{model}/int8").comparison
    assert told
    report = judged(f"{model}/int8", data_dir, "onnxruntime")
    (row,) = report.rows
    assert row.outcome == "pass"
    assert report.source
    found = report.source.comparison
    assert found
    assert found.images == told["images"]
    assert found.net <= found.images // 1_000
    assert found.changes <= found.images // 100
    assert abs(found.net - told["net"]) <= 2
    assert abs(found.changes - told["label_changes"]) <= 10


@pytest.mark.parametrize("model", models.shipped())
def test_what_a_card_tells_is_a_result_of_the_ledger(model: str) -> None:
    card = card_of(model)
    results = [json.loads(path.read_text()) for path in RESULTS.glob("*.json")]
    same = [one for one in results if (one["recipe"], one["seed"], one["test"]) == (card.recipe, card.seed, card.test)]
    assert len(same) == 1
    assert same[0]["dataset"]["fingerprint"] == card.dataset["fingerprint"]


def test_all_that_ships_is_at_most_25_mb() -> None:
    assert sum(path.stat().st_size for path in models.FOLDER.rglob("*") if path.is_file()) <= 25e6


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_runtime_that_can_run_here_decides_as_pytorch_does_on_the_shipped_mnist_model(data_dir: Path) -> None:
    names = [state.runtime for state in diagnose().runtimes if state.usable and state.runtime not in ON_REQUEST]
    report = judged("nin-mnist", data_dir, *names, limit=1_000)
    assert {row.runtime: (row.outcome, row.reason) for row in report.rows} == dict.fromkeys(names, ("pass", None))
    assert len(names) >= 9
    changes = [row.label_changes for row in report.rows if row.label_changes]
    assert [(change.changes, change.images, change.against) for change in changes] == [(0, 1_000, "pytorch")] * (len(names) - 1)
