"""What counts as agreement with the golden vectors."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nin_onnx.golden import Golden
from nin_onnx.precision import PRECISIONS
from nin_onnx.runtimes.backends.base import RuntimeInfo
from nin_onnx.runtimes.parity import allowed, compare

Arrays = dict[str, NDArray[Any]]


@pytest.fixture
def outputs(tiny_golden: Golden) -> Arrays:
    return {name: array.copy() for name, array in tiny_golden.outputs.items()}


def test_the_golden_vectors_agree_with_themselves(tiny_golden: Golden, outputs: Arrays) -> None:
    parity = compare(outputs, tiny_golden, 1e-5)
    assert parity.problem is None
    assert parity.differences == {"logits": 0, "probabilities": 0, "class_maps": 0}


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp32", 1e-5), ("tf32", 2e-3), ("fp16", 5e-3), ("bf16", 2e-2), ("int8", 8e-3)]
)
@pytest.mark.parametrize("name", ["logits", "class_maps"])
@pytest.mark.parametrize(("share", "agrees"), [(0.9, True), (1.1, False)])
def test_one_value_may_differ_by_the_tolerance_times_the_largest_of_the_whole_set(
    tiny_golden: Golden, outputs: Arrays, precision: str, tolerance: float, name: str, share: float, agrees: bool
) -> None:
    largest = np.abs(tiny_golden.outputs[name]).max()
    outputs[name] = outputs[name].astype(np.float64)
    outputs[name].flat[5] += share * tolerance * largest
    parity = compare(outputs, tiny_golden, allowed(RuntimeInfo(precision=precision)))
    assert (parity.problem is None) == agrees
    assert parity.tolerance == tolerance
    assert parity.worst == pytest.approx(share * tolerance, rel=1e-6)
    assert agrees or (parity.problem and parity.problem.startswith(f"'{name}' differs"))


@pytest.mark.parametrize("precision", [None, "fp8", "fp32"])
def test_a_precision_that_is_not_told_or_not_known_is_judged_as_fp32(precision: str | None) -> None:
    assert allowed(RuntimeInfo(precision=precision)) == 1e-5
    assert allowed(None) == 1e-5


def test_a_fast_convolution_gets_ten_times_as_much_and_no_less_than_its_precision() -> None:
    assert allowed(RuntimeInfo(precision="fp32", fast_convolution=True)) == 1e-4
    assert allowed(RuntimeInfo(fast_convolution=True)) == 1e-4
    assert allowed(RuntimeInfo(precision="bf16", fast_convolution=True)) == 2e-2


@given(st.data(), st.sampled_from(sorted(PRECISIONS)), st.floats(0.1, 1000))
def test_logits_within_the_tolerance_never_fail_by_their_probabilities(data: st.DataObject, precision: str, size: float) -> None:
    """Softmax in float64 of logits that differ by just the tolerance: its own scale must let them through."""
    values = st.lists(st.floats(-1, 1), min_size=3, max_size=3)
    logits = np.array([data.draw(values), [1.0, 0.0, -1.0]]) * size
    moved = logits + np.array(data.draw(values)) * PRECISIONS[precision].tolerance * size * 0.999

    def softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
        powers = np.exp(x - x.max(1, keepdims=True))
        shares: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
        return shares

    images = np.zeros((2, 1, 1, 1), np.uint8)
    golden = Golden(images, {"logits": logits, "probabilities": softmax(logits)})  # type: ignore[dict-item]
    assert compare({"logits": moved, "probabilities": softmax(moved)}, golden, PRECISIONS[precision].tolerance).problem is None


def test_wrong_probabilities_fail_though_the_logits_are_right(tiny_golden: Golden, outputs: Arrays) -> None:
    outputs["probabilities"] = outputs["probabilities"][:, ::-1]
    problem = compare(outputs, tiny_golden, 2e-2).problem
    assert problem
    assert problem.startswith("'probabilities' differs from the golden vectors by")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["logits", "probabilities", "class_maps"])
def test_nan_and_infinity_fail(tiny_golden: Golden, outputs: Arrays, name: str, value: float) -> None:
    outputs[name].flat[-1] = value
    parity = compare(outputs, tiny_golden, 1e-5)
    assert parity.problem == f"gives NaN or infinity in '{name}'"
    assert parity.worst is None


def test_golden_vectors_with_nan_let_nothing_pass(tiny_golden: Golden, outputs: Arrays) -> None:
    broken = Golden(tiny_golden.images, {**tiny_golden.outputs, "logits": tiny_golden.outputs["logits"] * np.float32(np.nan)})
    assert compare(outputs, broken, 1e-5).problem == "the golden vectors themselves hold NaN or infinity in 'logits'"


def test_a_wrong_shape_fails_even_where_it_could_be_broadcast(tiny_golden: Golden, outputs: Arrays) -> None:
    outputs["logits"] = outputs["logits"][:1]
    assert compare(outputs, tiny_golden, 1e-5).problem == "gives 'logits' of shape [1, 4], expected [12, 4]"


def test_a_missing_output_fails(tiny_golden: Golden, outputs: Arrays) -> None:
    del outputs["class_maps"]
    assert compare(outputs, tiny_golden, 1e-5).problem == "gives no 'class_maps'"


@pytest.mark.parametrize("kind", [np.int64, np.bool_, np.str_])
def test_outputs_that_are_no_floating_point_numbers_fail(tiny_golden: Golden, outputs: Arrays, kind: type) -> None:
    outputs["logits"] = outputs["logits"].astype(kind)
    problem = compare(outputs, tiny_golden, 1e-5).problem
    assert problem
    assert problem.endswith("expected floating point")
