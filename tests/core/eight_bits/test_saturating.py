"""The saturating product, against the instruction spelled out in whole numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from quantized_graphs import vpmaddubsw

from nin_onnx.eight_bits.saturating import exact, excess


@given(st.data())
def test_exact_and_excess_together_are_what_the_instruction_gives(data: st.DataObject) -> None:
    rows, terms, outputs = (data.draw(st.integers(1, most)) for most in (4, 9, 4))
    x = data.draw(arrays.arrays(np.uint8, (rows, terms)))
    w = data.draw(arrays.arrays(np.int8, (terms, outputs)))
    assert (exact(x, w) + excess(x, w)).tolist() == vpmaddubsw(x, w)
    assert exact(x, w).tolist() == (x.astype(object) @ w.astype(object)).tolist()


@pytest.mark.parametrize(
    ("x", "w", "by"),
    [
        ((255, 255), (127, 127), 32767 - 64770),
        ((255, 255), (-128, -128), -32768 + 65280),
        ((255, 255), (64, 64), 0),  # 32,640
        ((255, 255), (64, 65), 32767 - 32895),
        ((255, 255), (127, -128), 0),
        ((255, 0), (127, 127), 0),
        ((0, 255, 255, 0), (127, 127, 127, 127), 0),  # what would saturate is not in one pair
        ((255,), (127,), 0),
    ],
)
def test_what_saturation_takes_from_a_single_sum(x: tuple[int, ...], w: tuple[int, ...], by: int) -> None:
    assert excess(np.array([x], np.uint8), np.array(w, np.int8)[:, None]).item() == by
