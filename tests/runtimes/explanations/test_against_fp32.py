"""A variant beside its source: counted as NumPy counts, or a word about why not."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from nin_onnx.card import read_card, write_card
from nin_onnx.data.dataset import Dataset
from nin_onnx.golden import Golden, read_golden, write_golden
from nin_onnx.runtimes import EvalOptions, evaluate, table

Writer = Callable[..., Path]
Data = Callable[..., Dataset]


@pytest.fixture
def variant(tiny_model: Writer) -> Path:
    """The tiny classifier's variant in its folder, with other weights, so that it decides otherwise here and there."""
    source = tiny_model()
    model = onnx.load(source)
    card = read_card(model)
    golden = read_golden(source.parent)
    assert card is not None
    assert golden is not None
    kernel = numpy_helper.to_array(model.graph.initializer[0])
    noise = np.random.default_rng(0).normal(0, 0.05, kernel.shape).astype(np.float32)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(kernel + noise, "kernel"))
    found = ReferenceEvaluator(model).run(list(golden.outputs), {"images": golden.images})
    own = Golden(golden.images, {name: np.asarray(array) for name, array in zip(golden.outputs, found, strict=True)})
    digest = sha256(source.read_bytes()).hexdigest()
    write_card(model, replace(card, precision="int8", source=digest, golden=own.hash))
    folder = source.parent / "int8"
    write_golden(folder, own)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def test_changes_and_mcnemars_counts_are_numpys(variant: Path, tiny_data: Data) -> None:
    data = tiny_data(300, errors=20)
    report = evaluate(variant, EvalOptions(runtimes=["reference"], dataset=data))
    models = (onnx.load(path) for path in (variant.parents[1] / "model.onnx", variant))
    answers = [ReferenceEvaluator(model).run(["logits"], {"images": data.images}) for model in models]
    one, other = (np.asarray(logits).argmax(1) for (logits,) in answers)
    assert report.source is not None
    found = report.source.comparison
    assert found is not None
    assert found.changes == np.count_nonzero(one != other) > 0
    assert found.only_first == np.count_nonzero((one == data.labels) & (other != data.labels)) > 0
    assert found.only_second == np.count_nonzero((one != data.labels) & (other == data.labels))
    assert f"{found.changes} of 300 labels changed, b = {found.only_first}, c = {found.only_second}, p = " in table(report)


def test_a_source_that_is_absent_or_another_is_told(variant: Path, tiny_data: Data) -> None:
    source = variant.parents[1] / "model.onnx"
    for change in (lambda: source.write_bytes(variant.read_bytes()), source.unlink):
        change()
        report = evaluate(variant, EvalOptions(runtimes=["reference"], dataset=tiny_data(10)))
        assert report.source is not None
        assert report.source.comparison is None
        assert report.source.problem == "not in the folder above, so its decisions are not compared"
        assert [row.outcome for row in report.rows] == ["pass"]


def test_what_is_no_variant_has_no_source(tiny_model: Writer, tiny_data: Data) -> None:
    assert evaluate(tiny_model(), EvalOptions(runtimes=["reference"], dataset=tiny_data(10))).source is None
