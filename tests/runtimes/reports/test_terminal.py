"""The table that a user sees."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from nin_onnx.data.dataset import Dataset
from nin_onnx.golden import Golden
from nin_onnx.paper import published
from nin_onnx.runtimes.backends.base import RuntimeInfo
from nin_onnx.runtimes.criteria import Criteria
from nin_onnx.runtimes.parity import Parity
from nin_onnx.runtimes.read_model import read_model
from nin_onnx.runtimes.report import Report
from nin_onnx.runtimes.reports.terminal import table
from nin_onnx.runtimes.rows import LabelChanges, Row, Timing
from nin_onnx.verdict import measure


@pytest.fixture
def report(tiny_model: Callable[..., Path], tiny_data: Callable[..., Dataset], tiny_golden: Golden) -> Report:
    """One row of every outcome."""
    data, figure = tiny_data(10), published("mnist")
    facts = RuntimeInfo("onnxruntime", "1.32.0", "cpu", "fp32", 2, ("CPUExecutionProvider",), None)
    close = Parity(1e-5, {"logits": 1.2e-7, "class_maps": 3.4e-7}, None)
    problem = "'logits' differs from the golden vectors by 3.1e-03, at most 1e-05 is allowed"
    return Report(
        model=read_model(tiny_model()),
        dataset=data.describe() | {"images": 10_000},
        golden={"images": 12, "hash": tiny_golden.hash, "problem": None, "references": None},
        published=figure,
        rows=(
            Row("pytorch", False, "pass", None, None, facts, close, measure(50, 10_000, data.describe(), figure), None, 1234.5),
            Row(
                "onnxruntime",
                False,
                "fail",
                problem,
                facts=replace(facts, precision=None),
                parity=Parity(1e-5, {"logits": 3.1e-3}, problem),
                accuracy=measure(812, 10_000, data.describe(), figure),
                label_changes=LabelChanges(770, 10_000, "pytorch"),
                images_per_second=54321.0,
            ),
            Row("onnxruntime-cuda", False, "skipped", "the package 'x' is not installed", "pip install 'nin-onnx[gpu]'"),
            Row("reference", False, "error", "killed by SIGSEGV; its last words: " + "no more memory " * 12),
        ),
        criteria=Criteria(),
        settings={},
        hardware={"processor": "made up", "instructions": ("AVX2",)},
        versions={},
    )


def lines(report: Report, **asked: Any) -> list[str]:
    return click.unstyle(table(replace(report, criteria=Criteria(**asked)))).splitlines()


def test_the_tolerance_is_told_to_all_its_digits(report: Report) -> None:
    row = report.rows[0]
    assert row.parity
    rows = (replace(row, parity=replace(row.parity, tolerance=1.4e-6)),)
    assert "3.4e-07 <= 1.4e-06 " in "\n".join(lines(replace(report, rows=rows)))


def test_no_line_is_wider_than_120_columns_but_for_the_path(report: Report) -> None:
    assert all(len(line) <= 120 for line in lines(report) if not line.startswith("file"))


def test_the_head_says_what_was_judged_and_the_verdict(report: Report) -> None:
    head = lines(report)[:5]
    assert head[0].startswith("model   tiny, recipe by-hand, 0.0 MB, opset 18, sha256 ")
    assert head[1].endswith("tiny/model.onnx")
    assert head[2].startswith("golden  12 images, sha256 ")
    assert head[3].startswith("data    mnist test, 10,000 images, unofficial copy, fingerprint ")
    assert head[4] == "paper   0.47 % test error, NIN + dropout, Table 4: within noise (unofficial copy) with 0.50 %, p = 0.35"


def test_what_a_file_says_does_not_steer_the_terminal(report: Report) -> None:
    card = report.model.card
    assert card
    card = replace(card, name="tiny\x1b[2J\n", recipe="\x07", precision="\x9b2J")
    rows = (replace(report.rows[1], reason="node 'conv\x1b[2J' differs"),)
    text = click.unstyle(table(replace(report, model=replace(report.model, card=card), rows=rows)))
    assert text.startswith("model   tiny\ufffd[2J\ufffd, recipe \ufffd, \ufffd2J, ")
    assert "node 'conv\ufffd[2J' differs" in text


def test_each_runtime_has_its_figures_or_its_reason(report: Report) -> None:
    text = [" ".join(line.split()) for line in lines(report)]
    assert "pytorch pass 1.32.0 cpu, fp32 3.4e-07 <= 1e-05 10,000 0.50 0.38-0.66 1,234" in text
    assert "onnxruntime fail 1.32.0 cpu, unknown 3.1e-03 > 1e-05 10,000 8.12 7.60-8.67 770 54,321" in text
    assert "'logits' differs from the golden vectors by 3.1e-03, at most 1e-05 is allowed" in text
    assert "onnxruntime-cuda skipped the package 'x' is not installed: pip install 'nin-onnx[gpu]'" in text
    assert any(line.startswith("reference error killed by SIGSEGV; its last words: no more memory") for line in text)


def test_every_figure_stands_under_its_heading(report: Report) -> None:
    heading, passed, failed = lines(report)[7:10]
    for name in ("version", "runs on", "difference"):
        assert heading.index(name) in {0, *(i + 2 for i in range(len(passed)) if passed[i : i + 2] == "  ")}
    for name in ("images", "error %", "95 % CI", "images/s"):
        end = heading.index(f" {name}") + len(name) + 1
        assert [line[end - 1] != " " and line[end : end + 2].strip() == "" for line in (passed, failed)] == [True, True]


def test_the_last_line_says_what_failed(report: Report) -> None:
    assert lines(report)[-3:] == [
        "difference: the largest to the golden vectors, over their largest value",
        "flips: labels other than those of pytorch, on the images that both did",
        "FAIL: onnxruntime: fail; reference: error",
    ]


def test_the_last_line_says_how_many_passed_and_were_skipped(report: Report) -> None:
    fine = replace(report, rows=(report.rows[0], report.rows[2]))
    assert lines(fine)[-1] == "PASS: 1 runtime matches the golden vectors; 1 skipped"
    assert lines(fine, max_error=0.3)[-1] == "FAIL: pytorch: error 0.50 %, at most 0.3 % was asked for"


def test_where_nothing_ran_it_says_so(report: Report) -> None:
    assert lines(replace(report, rows=report.rows[2:3]))[-1] == "FAIL: nothing could run"


def test_columns_that_nobody_fills_are_left_out(report: Report) -> None:
    bare = replace(report.rows[0], accuracy=None, images_per_second=None)
    shown = lines(replace(report, rows=(bare,), dataset=None, published=None))
    assert "data    none: judged by the golden vectors alone" in shown
    assert next(line for line in shown if line.startswith("runtime")).split("  ")[-1].strip() == "difference"


def test_the_speed_stands_in_a_table_of_its_own_with_what_has_to_be_known(report: Report) -> None:
    first, second, *others = report.rows
    assert second.facts
    quick = (Timing(1, (0.5, 0.25, 1.0), 0.5, 2000.0), Timing(32, (16.0, 8.0, 32.0), 16.0, 2000.0))
    slow = replace(second, facts=replace(second.facts, threads=None, pace="one by one"), speed=quick[:1])
    text = lines(replace(report, rows=(replace(first, speed=quick), slow, *others)))
    start = text.index(next(line for line in text if line.startswith("runtime") and "threads" in line))
    assert text[start - 1] == ""
    assert [" ".join(line.split()) for line in text[start : start + 4]] == [
        "runtime threads ms at 1 range images/s at 32 range",
        "pytorch 2 0.50 0.25-1.00 2,000 1,000-4,000",
        "onnxruntime unknown 0.50 0.25-1.00 -",
        "",
    ]
    assert text[-4:-1] == [
        "at 32: in batches of 32, median and range of 3 rounds in which the runtimes took turns",
        "-: a batch would take more than 1 s",
        "onnxruntime: one by one",
    ]


def test_the_outcomes_are_colored(report: Report) -> None:
    shown = table(report)
    for outcome, color in {"pass": "green", "fail": "red", "error": "red", "skipped": "yellow"}.items():
        assert click.style(outcome.ljust(len("outcome")), fg=color, bold=True) in shown
