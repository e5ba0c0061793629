"""Batches of several sizes, the same twice, other neighbors: what each finds, and what it lets through."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nin_onnx.golden import Golden
from nin_onnx.runtimes import EvalOptions, evaluate
from nin_onnx.runtimes.parity import Parity, compare, cosine, margins
from nin_onnx.runtimes.probes import AGAIN, NEIGHBORS, examine, probes
from nin_onnx.runtimes.rows import Row

Writer = Callable[..., Path]
Register = Callable[[str], str]
Arrays = dict[str, NDArray[Any]]


def sound(golden: Golden) -> dict[str, Arrays]:
    """For every probe the golden outputs, as a perfect runtime gives them."""
    indices = {name: np.arange(len(probe.images)) % len(golden.images) for name, probe in probes(golden.images).items()}
    return {probe: {name: array[rows].copy() for name, array in golden.outputs.items()} for probe, rows in indices.items()}


def judged(golden: Golden, outputs: dict[str, Arrays], tolerance: float = 1e-5) -> Parity:
    return examine(compare(dict(golden.outputs), golden, tolerance), outputs, golden)


def test_every_batch_is_full_and_begins_with_the_golden_images(tiny_golden: Golden) -> None:
    found = probes(tiny_golden.images)
    assert [(name, len(probe.images), probe.batch) for name, probe in found.items()] == [
        ("batch 1", 12, 1),
        ("batch 2", 12, 2),
        ("batch 7", 14, 7),
        ("batch 32", 32, 32),
        (AGAIN, 14, 7),
        (NEIGHBORS, 14, 7),
    ]
    np.testing.assert_array_equal(found["batch 32"].images[:12], tiny_golden.images)
    np.testing.assert_array_equal(found["batch 32"].images[12:24], tiny_golden.images)


def test_a_model_with_a_fixed_batch_is_tried_with_that_alone(tiny_golden: Golden) -> None:
    assert {name: (len(probe.images), probe.batch) for name, probe in probes(tiny_golden.images, 1).items()} == {
        "batch 1": (12, 1),
        AGAIN: (12, 1),
    }


def test_the_neighbors_are_others_and_the_kept_ones_the_same(tiny_golden: Golden) -> None:
    found = probes(tiny_golden.images)
    moved = (found[NEIGHBORS].images != found["batch 7"].images).any((1, 2, 3))
    assert [i for i in range(14) if moved[i]] == [1, 3, 5, 8, 10, 12]


def test_a_perfect_runtime_passes_with_zeros(tiny_golden: Golden) -> None:
    parity = judged(tiny_golden, sound(tiny_golden))
    assert (parity.problem, parity.repeatable, parity.neighbors, parity.label_changes, parity.margin) == (None, True, 0, 0, None)
    assert parity.batches == {"1": 0, "2": 0, "7": 0, "32": 0}
    assert parity.cosine == pytest.approx(1)


@pytest.mark.parametrize("size", ["1", "2", "7", "32"])
def test_one_wrong_value_in_one_size_of_the_batch_fails(tiny_golden: Golden, size: str) -> None:
    outputs = sound(tiny_golden)
    outputs[f"batch {size}"]["logits"][-1, 0] += 0.1
    if size == "7":
        outputs[AGAIN] = outputs["batch 7"]
    problem = judged(tiny_golden, outputs).problem
    assert problem
    assert problem.startswith("differs from the golden vectors by ")
    assert f"in batches of {size}," in problem


def test_the_least_bit_that_differs_the_second_time_fails(tiny_golden: Golden) -> None:
    outputs = sound(tiny_golden)
    outputs[AGAIN]["logits"][3, 1] = np.nextafter(outputs[AGAIN]["logits"][3, 1], np.float32(9))
    assert judged(tiny_golden, outputs).problem == "the same images twice give different outputs"


@pytest.mark.parametrize(("share", "fails"), [(0.09, False), (0.11, True)])
def test_neighbors_may_move_an_image_by_a_tenth_of_the_tolerance(tiny_golden: Golden, share: float, fails: bool) -> None:
    outputs = sound(tiny_golden)
    logits = outputs[NEIGHBORS]["logits"] = outputs[NEIGHBORS]["logits"].astype(np.float64)
    logits[2, 0] += share * 1e-2 * np.abs(tiny_golden.outputs["logits"]).max()
    parity = judged(tiny_golden, outputs, tolerance=1e-2)
    assert (parity.problem is not None) == fails
    assert parity.neighbors == pytest.approx(share * 1e-2, rel=1e-3)


def test_the_replaced_images_themselves_are_not_compared(tiny_golden: Golden) -> None:
    outputs = sound(tiny_golden)
    outputs[NEIGHBORS]["logits"][1] += 100
    assert judged(tiny_golden, outputs).problem is None


def test_nan_in_one_size_of_the_batch_fails(tiny_golden: Golden) -> None:
    outputs = sound(tiny_golden)
    outputs["batch 2"]["logits"][0, 0] = np.nan
    assert judged(tiny_golden, outputs).problem == "batch 2: gives NaN or infinity in 'logits'"


def test_a_label_that_changes_is_counted_with_its_margin(tiny_golden: Golden) -> None:
    outputs = {name: array.copy() for name, array in tiny_golden.outputs.items()}
    logits = outputs["logits"]
    second, first = np.sort(logits[0])[-2:]
    logits[0, logits[0].argsort()[-2]] = first + 1
    parity = compare(outputs, tiny_golden, 1e-5)
    assert parity.label_changes == 1
    assert parity.margin == pytest.approx((first - second) / np.abs(tiny_golden.outputs["logits"]).max())


def test_margins_are_those_of_the_expected_values() -> None:
    expected = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 4.5], [1.0, 0.0, 0.0]])
    given = np.array([[0.0, 1.0, 0.0], [0.0, 5.0, 4.0], [0.0, 0.0, 9.0]])
    np.testing.assert_array_equal(margins(given, expected), [2.0, 1.0])
    assert margins(expected, expected).size == 0


def test_the_cosine_is_the_smallest_and_rows_of_zeros_have_none() -> None:
    assert cosine(np.array([[1.0, 0], [1, 1]]), np.array([[1.0, 0], [0, 2]])) == pytest.approx(0.5**0.5)
    assert cosine(np.zeros((2, 3)), np.ones((2, 3))) is None


def alone(model: Path, name: str, **options: Any) -> Row:
    (row,) = evaluate(model, EvalOptions(runtimes=[name], **options)).rows
    return row


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("DependsOnItsNeighbors", "an image's outputs depend on the other images of its batch: they move by "),
        ("WrongInLargeBatches", "differs from the golden vectors by "),
        ("ForgetsItself", "the same images twice give different outputs"),
    ],
)
def test_a_runtime_with_that_fault_fails(tiny_model: Writer, made_up: Register, kind: str, problem: str) -> None:
    row = alone(tiny_model(), made_up(kind))
    assert row.outcome == "fail"
    assert row.reason
    assert row.reason.startswith(problem)


def test_a_tolerance_that_is_given_takes_the_place_of_the_one_for_the_precision(tiny_model: Writer, made_up: Register) -> None:
    name = made_up("WrongInOneRow")
    row = alone(tiny_model(), name, tolerance=0.5)
    assert (row.outcome, row.parity and row.parity.tolerance) == ("pass", 0.5)
    row = alone(tiny_model(), "onnxruntime", tolerance=1e-12)
    assert row.outcome == "fail"


def test_the_memory_of_all_its_processes_is_read(tiny_model: Writer, made_up: Register) -> None:
    little, much = (alone(tiny_model(), made_up(kind)).memory for kind in ("Healthy", "HoldsMuchMemory"))
    assert little
    assert much
    assert 300e6 < much - little < 600e6
