"""The exit status that a report asks for, and what it names as unmet."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nin_onnx.data.dataset import Dataset
from nin_onnx.paper import Published
from nin_onnx.runtimes.criteria import Criteria
from nin_onnx.runtimes.model import ModelFile
from nin_onnx.runtimes.report import Report
from nin_onnx.runtimes.rows import Outcome, Row
from nin_onnx.verdict import measure

FIGURE = Published("Table 4", "mnist", "NIN + dropout", 0.47, "mnist")


def row(runtime: str, outcome: Outcome, **values: Any) -> Row:
    return Row(runtime, **{"named": False, "outcome": outcome, **values})


def report(*rows: Row, **asked: Any) -> Report:
    model = ModelFile(Path("m.onnx"), 1, "0" * 64, 8, 18, ("batch", 8, 6, 3), 4, None)
    return Report(model, None, {}, FIGURE, rows, Criteria(**asked), {}, {}, {})


def unmet(report: Report) -> tuple[str, ...]:
    return tuple(map(str, report.unmet))


@pytest.fixture
def measured(tiny_data: Callable[..., Dataset]) -> Callable[..., Row]:
    """A row that passed with so many errors."""

    def make(errors: int, images: int = 10_000, runtime: str = "a", figure: Published | None = FIGURE) -> Row:
        return row(runtime, "pass", accuracy=measure(errors, images, tiny_data(10).describe(), figure))

    return make


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        ([row("a", "pass")], 0),
        ([row("a", "pass"), row("b", "skipped")], 0),
        ([row("a", "pass"), row("b", "fail")], 1),
        ([row("a", "pass"), row("b", "error")], 1),
        ([row("a", "error")], 1),
        ([row("a", "error"), row("b", "skipped")], 1),
        ([row("a", "pass"), row("b", "skipped", named=True)], 1),
        ([row("a", "skipped")], 2),
        ([row("a", "skipped", named=True), row("b", "skipped", named=True)], 2),
    ],
)
def test_the_exit_status_follows_from_the_outcomes(rows: list[Row], status: int) -> None:
    assert report(*rows).exit_status == status


def test_what_is_unmet_names_runtime_and_outcome() -> None:
    rows = [row("a", "fail"), row("b", "error"), row("c", "skipped", named=True), row("d", "skipped"), row("e", "pass")]
    assert unmet(report(*rows)) == ("a: fail", "b: error", "c: skipped, though asked for")


@pytest.mark.parametrize(("errors", "status"), [(47, 0), (50, 0), (80, 1)])
def test_a_figure_that_was_not_reproduced_counts_only_where_it_is_required(
    measured: Callable[..., Row], errors: int, status: int
) -> None:
    assert report(measured(errors)).exit_status == 0
    assert report(measured(errors), require_reproduced=True).exit_status == status


def test_what_was_not_judged_is_not_reproduced(measured: Callable[..., Row]) -> None:
    assert unmet(report(measured(0, images=1_000), require_reproduced=True)) == (
        "a: not reproduced: not judged (1,000 of 10,000)",
    )
    assert unmet(report(measured(0, figure=None), require_reproduced=True)) == (
        "a: not reproduced: the paper has no figure for this model",
    )
    assert unmet(report(row("a", "pass"), require_reproduced=True)) == ("no error was measured: give --dataset",)


def test_an_error_above_the_highest_allowed_counts(measured: Callable[..., Row]) -> None:
    assert report(measured(59), max_error=0.59).exit_status == 0
    assert unmet(report(measured(60), max_error=0.59)) == ("a: error 0.60 %, at most 0.59 % was asked for",)
    assert report(row("a", "pass"), max_error=0.59).exit_status == 1


def test_accuracy_is_asked_of_the_runtimes_that_did_the_most_images(measured: Callable[..., Row]) -> None:
    few = measured(20, images=1_000, runtime="reference")
    assert report(measured(40), few, require_reproduced=True, max_error=0.5).exit_status == 0
    assert report(few, max_error=0.5).exit_status == 1


def test_the_headline_is_the_first_passed_row_with_the_most_images(measured: Callable[..., Row]) -> None:
    broken = replace(measured(1, runtime="broken"), outcome="fail")
    rows = [broken, measured(2, images=1_000, runtime="few"), measured(3, runtime="first"), measured(4, runtime="second")]
    headline = report(row("none", "pass"), *rows).headline
    assert headline
    assert headline.runtime == "first"
    assert report(row("none", "pass")).headline is None
