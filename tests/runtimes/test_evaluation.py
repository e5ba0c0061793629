"""What `evaluate` finds out about a model whose answers and mistakes are known."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from scipy.stats import binomtest

from nin_onnx import models
from nin_onnx.data.dataset import Dataset
from nin_onnx.errors import ModelError, UnknownNameError
from nin_onnx.runtimes import RUNTIMES, Criteria, EvalOptions, evaluate

Writer = Callable[..., Path]
Data = Callable[..., Dataset]
Register = Callable[[str], str]


def test_errors_interval_and_verdict_are_those_of_the_whole_test_set(tiny_model: Writer, tiny_data: Data) -> None:
    report = evaluate(tiny_model(), EvalOptions(runtimes=["onnxruntime"], dataset=tiny_data(10_000, errors=48), batch=512))
    (row,) = report.rows
    interval = binomtest(48, 10_000).proportion_ci(0.95, method="wilson")
    assert row.outcome == "pass"
    assert row.accuracy
    assert (row.accuracy.errors, row.accuracy.images, row.accuracy.error) == (48, 10_000, 0.48)
    assert (row.accuracy.low, row.accuracy.high) == pytest.approx((100 * interval.low, 100 * interval.high))
    assert row.accuracy.verdict
    assert row.accuracy.verdict.word == "within noise"
    assert report.published
    assert report.published.error == 0.47
    assert row.images_per_second
    assert row.images_per_second > 0


def test_every_registered_runtime_has_a_row_in_order_but_for_those_that_must_be_named(tiny_model: Writer) -> None:
    report = evaluate(tiny_model())
    assert [row.runtime for row in report.rows] == [name for name in RUNTIMES if name not in ("openvino-bf16", "emulated-avx2")]
    assert [row.outcome for row in report.rows if row.runtime in ("onnxruntime", "reference")] == ["pass", "pass"]
    assert not any(row.named for row in report.rows)


def test_a_runtime_is_asked_once_in_the_order_given_and_announced(tiny_model: Writer) -> None:
    announced: list[str] = []
    report = evaluate(tiny_model(), EvalOptions(runtimes=["reference", "onnxruntime", "reference"], progress=announced.append))
    assert [row.runtime for row in report.rows] == announced == ["reference", "onnxruntime"]


def test_what_is_required_runs_though_not_named_and_may_not_be_skipped(tiny_model: Writer, made_up: Register) -> None:
    report = evaluate(tiny_model(), EvalOptions(runtimes=["reference"], criteria=Criteria(required=(made_up("HoldsNoPackage"),))))
    assert [(row.runtime, row.named, row.outcome) for row in report.rows] == [
        ("reference", True, "pass"),
        ("HoldsNoPackage", True, "skipped"),
    ]
    assert report.exit_status == 1
    assert tuple(map(str, report.unmet)) == ("HoldsNoPackage: skipped, though asked for",)


def test_cuda_may_be_required_by_its_short_name(tiny_model: Writer) -> None:
    assert [
        row.runtime
        for row in evaluate(
            tiny_model(), EvalOptions(runtimes=["cuda", "onnxruntime-cuda"], criteria=Criteria(required=("cuda",)))
        ).rows
    ] == ["onnxruntime-cuda"]


def test_the_reference_does_the_first_thousand_images_unless_told_otherwise(tiny_model: Writer, tiny_data: Data) -> None:
    model, data = tiny_model(), tiny_data(1_100, errors=7)
    row = evaluate(model, EvalOptions(runtimes=["reference"], dataset=data)).rows[0]
    assert row.accuracy
    assert (row.accuracy.errors, row.accuracy.images) == (7, 1_000)
    row = evaluate(model, EvalOptions(runtimes=["reference"], dataset=data, limit=1_050)).rows[0]
    assert row.accuracy
    assert (row.accuracy.errors, row.accuracy.images) == (7, 1_050)


def test_the_limit_holds_for_every_runtime(tiny_model: Writer, tiny_data: Data) -> None:
    report = evaluate(
        tiny_model(), EvalOptions(runtimes=["onnxruntime", "reference"], dataset=tiny_data(50, errors=9), limit=5, batch=2)
    )
    assert [row.accuracy and (row.accuracy.errors, row.accuracy.images) for row in report.rows] == [(5, 5), (5, 5)]


def test_label_changes_are_counted_on_the_images_that_both_did(tiny_model: Writer, tiny_data: Data, made_up: Register) -> None:
    data = tiny_data(1_100)
    sevenths = np.arange(0, 1_000, 7)  # the reference and what is made of it do the first 1,000
    names = ["reference", made_up("ChangesLabels"), "onnxruntime"]
    rows = {row.runtime: row for row in evaluate(tiny_model(), EvalOptions(runtimes=names, dataset=data, batch=77)).rows}
    changed = int(np.count_nonzero(data.labels[sevenths] != 3))
    assert rows["onnxruntime"].label_changes is None
    assert rows["ChangesLabels"].label_changes is not None
    changes = rows["ChangesLabels"].label_changes
    assert (changes.changes, changes.images, changes.against) == (changed, 1_000, "onnxruntime")
    assert rows["reference"].label_changes
    assert rows["reference"].label_changes.changes == 0


def test_labels_that_change_in_large_batches_alone_fail_in_float32_and_may_change_in_bf16(
    tiny_model: Writer, tiny_data: Data, made_up: Register
) -> None:
    names = ["onnxruntime", made_up("ChangesLabels"), made_up("ChangesLabelsInBf16"), "reference"]
    rows = {
        row.runtime: row for row in evaluate(tiny_model(), EvalOptions(runtimes=names, dataset=tiny_data(200), batch=77)).rows
    }
    assert {name: row.outcome for name, row in rows.items()} == {
        "onnxruntime": "pass",
        "ChangesLabels": "fail",
        "ChangesLabelsInBf16": "pass",
        "reference": "pass",
    }
    changes = rows["ChangesLabels"].label_changes
    assert changes
    assert rows["ChangesLabels"].reason == (
        f"{changes.changes} of 200 labels of the data set are not those of onnxruntime, "
        f"which had decided them by up to {changes.margin:.1e}, at most 2e-05 is allowed"
    )


def test_errors_in_another_precision_are_weighed_by_mcnemars_test(tiny_model: Writer, tiny_data: Data, made_up: Register) -> None:
    data = tiny_data(200)
    names = ["onnxruntime", made_up("ChangesLabelsInBf16"), "reference"]
    rows = {row.runtime: row for row in evaluate(tiny_model(), EvalOptions(runtimes=names, dataset=data, batch=77)).rows}
    other = rows["ChangesLabelsInBf16"]
    assert other.label_changes
    assert other.accuracy
    wrong = other.accuracy.errors  # the reference is right on all, so these are the images that it alone gets right
    assert other.label_changes.mcnemar == pytest.approx(binomtest(0, wrong, 0.5).pvalue)
    assert rows["reference"].label_changes
    assert rows["reference"].label_changes.mcnemar is None


def test_nothing_is_counted_against_a_runtime_that_failed(tiny_model: Writer, tiny_data: Data, made_up: Register) -> None:
    report = evaluate(tiny_model(), EvalOptions(runtimes=[made_up("WrongInOneRow"), "reference"], dataset=tiny_data(20)))
    assert [row.outcome for row in report.rows] == ["fail", "pass"]
    assert report.rows[0].label_changes
    assert report.rows[0].label_changes.against == "reference"
    assert report.rows[1].label_changes is None


def test_golden_vectors_that_the_card_does_not_name_let_nothing_pass(tiny_model: Writer, tiny_data: Data) -> None:
    report = evaluate(tiny_model(digest="0" * 64), EvalOptions(runtimes=["onnxruntime"], dataset=tiny_data(20)))
    assert report.rows[0].outcome == "fail"
    assert report.rows[0].reason == "the golden vectors beside the model are not those that its card names"
    assert report.rows[0].accuracy is not None
    assert report.exit_status == 1


def test_another_kernel_than_the_golden_vectors_were_made_with_fails(tiny_model: Writer) -> None:
    path = tiny_model()
    model = onnx.load(path)
    kernel = numpy_helper.to_array(model.graph.initializer[0]).copy()
    kernel[0, 0, 0, 0] += 1e-3
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(kernel, "kernel"))
    onnx.save(model, path)
    report = evaluate(path, EvalOptions(runtimes=["onnxruntime", "reference"]))
    assert [row.outcome for row in report.rows] == ["fail", "fail"]


def test_without_golden_vectors_two_references_that_agree_take_their_place(tiny_model: Writer, tiny_data: Data) -> None:
    report = evaluate(tiny_model(golden=False), EvalOptions(runtimes=["onnxruntime"], dataset=tiny_data(20, errors=1)))
    assert report.golden
    assert report.golden["references"] == ("onnxruntime", "reference")
    assert report.rows[0].parity
    assert report.rows[0].outcome == "pass"
    assert report.rows[0].accuracy
    assert report.rows[0].accuracy.errors == 1


def test_unsound_logits_on_the_data_set_alone_fail(tiny_model: Writer, tiny_data: Data, made_up: Register) -> None:
    report = evaluate(tiny_model(golden=False), EvalOptions(runtimes=[made_up("GivesNaN")], dataset=tiny_data(20)))
    assert (report.rows[0].outcome, report.rows[0].accuracy) == ("fail", None)


def test_a_model_without_card_is_judged_by_golden_vectors_and_accuracy(tiny_model: Writer, tiny_data: Data) -> None:
    report = evaluate(tiny_model(card=False), EvalOptions(runtimes=["onnxruntime"], dataset=tiny_data(20, errors=2)))
    row = report.rows[0]
    assert row.outcome == "pass"
    assert row.parity
    assert row.accuracy
    assert row.accuracy.verdict is None


def test_an_unknown_runtime_stops_before_anything_runs(tiny_model: Writer) -> None:
    announced: list[str] = []
    with pytest.raises(UnknownNameError, match=r"unknown runtime 'onxruntime': did you mean 'onnxruntime'\?"):
        evaluate(tiny_model(), EvalOptions(runtimes=["reference", "onxruntime"], progress=announced.append))
    assert announced == []


def test_a_data_set_of_another_size_stops_before_anything_runs(tiny_model: Writer, tiny_data: Data) -> None:
    data = tiny_data(5)
    with pytest.raises(ModelError, match=r"8 × 6 × 3.*4 × 6 × 3"):
        evaluate(tiny_model(), EvalOptions(dataset=replace(data, images=data.images[:, :4])))


def test_the_report_is_json_and_tells_the_model_path_as_given_and_no_other(
    tiny_model: Writer, tiny_data: Data, made_up: Register, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tiny_model()
    monkeypatch.chdir(tmp_path)
    data = tiny_data(10)
    report = evaluate(
        Path("tiny/model.onnx"), EvalOptions(runtimes=["onnxruntime", made_up("NamesTheModel")], dataset=data, threads=1)
    )
    text = json.dumps(report.to_dict(), allow_nan=False)
    assert str(tmp_path) not in text
    values = json.loads(text)
    assert values["schema"] == 2
    assert values["model"]["path"] == "tiny/model.onnx"
    assert values["dataset"] == data.describe()
    assert values["dataset"]["provenance"] == "unofficial copy"
    assert values["rows"][0]["facts"]["threads"] == 1
    assert values["rows"][1]["reason"] == "OSError: cannot load tiny/model.onnx"
    assert values["rows"][0]["facts"]["assignment"] == {
        "CPUExecutionProvider": dict.fromkeys(
            ("Cast", "Conv", "Div", "Flatten", "GlobalAveragePool", "Relu", "Softmax", "Transpose"), 1
        )
    }


COUNT = """
import os, sys
opened = []
def note(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and os.path.basename(arguments[0]) == "model.onnx":
        opened.append(os.path.abspath(arguments[0]))
sys.addaudithook(note)
from nin_onnx.cli import cli
cli.main(["eval", sys.argv[1], "--runtime", "reference", "--runtime", "onnxruntime"], standalone_mode=False)
print(opened.count(sys.argv[1]))
"""


@pytest.mark.parametrize("name", ["nin-digits", "nin-digits/int8"])
def test_the_command_reads_the_model_file_once_in_its_own_process(name: str) -> None:
    """Beside what its workers read; Python reports every file that is opened."""
    command = [sys.executable, "-c", COUNT, str(models.find(name).absolute())]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert output.splitlines()[-1] == "1"
