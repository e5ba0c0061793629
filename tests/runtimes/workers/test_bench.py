"""`--bench`: only one runtime computes at a time, and its figures are what a clock says."""

from collections.abc import Callable
from itertools import groupby, pairwise
from pathlib import Path
from statistics import median

import onnx
import pytest
from onnx import TensorProto, helper

from nin_onnx.runtimes import EvalOptions, evaluate

Writer = Callable[..., Path]
Register = Callable[[str], str]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds: enough to take turns."""
    monkeypatch.setattr("nin_onnx.runtimes.workers.bench.ROUNDS", 2)


def test_the_runtimes_take_turns_and_only_one_computes_at_a_time(tiny_model: Writer, made_up: Register, tmp_path: Path) -> None:
    names = [made_up("NotesItsRuns"), made_up("NotesItsRunsToo")]
    report = evaluate(tiny_model(), EvalOptions(runtimes=names, bench=True))
    assert [row.outcome for row in report.rows] == ["pass", "pass"]
    notes = [line.split() for line in Path(f"{tmp_path / 'ids'}-runs").read_text().splitlines()]
    runs = sorted((float(start), float(end), process, int(images)) for process, start, end, images in notes)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(runs))
    processes = list(dict.fromkeys(process for _, _, process, _ in runs))
    assert len(processes) == 4  # each is judged in one, and timed in another
    first, second = processes[2:]
    turns = [(process, list(dict.fromkeys(images for *_, images in turn))) for process, turn in groupby(runs, lambda run: run[2])]
    assert turns[2:] == [(process, [1, 32, 128]) for process in [first, second] * 3]  # to warm up, and twice to measure


def test_latency_and_throughput_are_those_of_the_clock(tiny_model: Writer, made_up: Register) -> None:
    (row,) = evaluate(tiny_model(), EvalOptions(runtimes=[made_up("SleepsTenMilliseconds")], bench=True)).rows
    assert [timing.batch for timing in row.speed] == [1, 32]  # 128 would take more than a second
    for timing in row.speed:
        assert len(timing.rounds) == 2
        assert 10 * timing.batch <= min(timing.rounds)
        assert timing.milliseconds == median(timing.rounds)
        assert timing.images_per_second == pytest.approx(1000 * timing.batch / timing.milliseconds)
    assert row.speed[1].milliseconds < 1000


def test_nothing_is_timed_that_was_not_asked_for_or_did_not_run(tiny_model: Writer, made_up: Register) -> None:
    assert evaluate(tiny_model(), EvalOptions(runtimes=["reference"])).rows[0].speed == ()
    names = [made_up("HoldsNoPackage"), made_up("RaisesOnRun"), made_up("WrongInOneRow")]
    rows = evaluate(tiny_model(), EvalOptions(runtimes=names, bench=True)).rows
    assert [(row.outcome, len(row.speed)) for row in rows] == [("skipped", 0), ("error", 0), ("fail", 3)]


def test_a_model_of_one_batch_is_timed_with_that(tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 4]) for name in ("given", "scores")]
    graph = helper.make_graph([helper.make_node("Softmax", ["given"], ["scores"])], "softmax", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7), tmp_path / "three.onnx")
    (row,) = evaluate(tmp_path / "three.onnx", EvalOptions(runtimes=["onnxruntime"], bench=True)).rows
    assert [timing.batch for timing in row.speed] == [3]
