"""The table of precisions, and what names in it lead to."""

import pytest
from onnx import TensorProto

from nin_onnx.export.maker import maker_of
from nin_onnx.precision import FP32, PRECISIONS, VARIANTS, coarsest, judged_as


def test_weights_are_types_of_onnx_and_each_is_one_precision_s() -> None:
    types = [kind for one in PRECISIONS.values() for kind in one.weights]
    assert len(set(types)) == len(types)
    assert set(types) <= set(TensorProto.DataType.keys())


@pytest.mark.parametrize("precision", VARIANTS[1:])
def test_a_maker_is_where_the_table_says(precision: str) -> None:
    assert callable(maker_of(precision))


def test_the_first_variant_is_what_every_export_is_in() -> None:
    assert VARIANTS[0] == FP32.name
    assert FP32.tolerance == min(one.tolerance for one in PRECISIONS.values())


def test_what_is_unknown_is_judged_the_most_strictly() -> None:
    assert judged_as(None) == judged_as("fp4") == FP32
    assert judged_as("bf16") == PRECISIONS["bf16"]


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (["FLOAT"], "fp32"),
        (["FLOAT", "FLOAT16"], "fp16"),
        (["FLOAT16", "BFLOAT16"], "bf16"),
        (["FLOAT", "UINT8"], "int8"),
        (["INT64"], None),
        ([], None),
    ],
)
def test_the_coarsest_type_of_weights_counts(types: list[str], expected: str | None) -> None:
    assert coarsest(types) == expected
