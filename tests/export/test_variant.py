"""Variants of a run, from the training images to the folders that `eval` judges."""

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray

from nin_onnx import data
from nin_onnx.card import read_card
from nin_onnx.commands.export import export
from nin_onnx.data import Dataset
from nin_onnx.errors import DataError, ExportError, MissingExtraError
from nin_onnx.export import Export, calibration, export_run, exporter, int8
from nin_onnx.golden import read_golden
from nin_onnx.machine import instructions
from nin_onnx.runtimes import EvalOptions, evaluate
from nin_onnx.train.checkpoint import load_classifier, save_classifier
from nin_onnx.variants import FLOAT_INPUT, UINT8_INPUT, planar

NAMES = ("float32-input", "fp16", "fp16-float32-input", "int8", "int8-float32-input")


def images_that_the_network_knows(run: Path, count: int = 300) -> Dataset:
    """Noise of all strengths, which the network of `run` puts where its label says."""
    classifier, checkpoint = load_classifier(run / "model.safetensors")
    random = np.random.default_rng(0)
    images = (random.integers(0, 256, (count, 8, 8, 1)) * random.random((count, 1, 1, 1))).astype(np.uint8)
    with torch.inference_mode():
        labels = classifier(torch.from_numpy(images)).logits.argmax(1).numpy()
    return Dataset("digits", "train", images, labels, checkpoint.labels, official=True)


@pytest.fixture(scope="module")
def known(run: Path) -> Dataset:
    return images_that_the_network_knows(run)


@pytest.fixture(scope="module")
def trained(run: Path, known: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run as if it had been trained on these images."""
    folder = tmp_path_factory.mktemp("variants") / "run"
    folder.mkdir()
    classifier, checkpoint = load_classifier(run / "model.safetensors")
    save_classifier(folder / "model.safetensors", classifier.state_dict(), replace(checkpoint, dataset=known.describe()))
    return folder


@pytest.fixture(scope="module")
def exported_variants(trained: Path, known: Dataset) -> Export:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "load", lambda recipe, split, data_dir, download: known)
        return _all(trained)


def _all(folder: Path, **changes: Any) -> Export:
    return export_run(folder, **{"precisions": ("int8", "fp32", "fp16"), "inputs": ("float32", "uint8"), **changes})


@pytest.fixture
def _at_hand(known: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "load", lambda recipe, split, data_dir, download: known)


def test_every_variant_has_a_folder_of_its_own_below_the_models(exported_variants: Export) -> None:
    folder = exported_variants.model.parent
    assert tuple(one.model.parent.name for one in exported_variants.variants) == NAMES
    for name in NAMES:
        files = {str(path.relative_to(folder / name)) for path in (folder / name).rglob("*.*")}
        assert files == {"model.onnx", "test_data_set_0/input_0.pb", *(f"test_data_set_0/output_{i}.pb" for i in range(3))}
    assert (folder / "model.onnx").exists()


def test_a_card_says_precision_form_of_input_source_and_golden_vectors(exported_variants: Export) -> None:
    source = sha256(exported_variants.model.read_bytes()).hexdigest()
    assert (exported_variants.card.precision, exported_variants.card.source) == ("fp32", None)
    for one in exported_variants.variants:
        model = onnx.load(one.model)
        card = read_card(model)
        golden = read_golden(one.model.parent)
        assert card == one.card
        assert card is not None
        assert golden is not None
        name = one.model.parent.name
        assert card.precision == ("fp32" if name == "float32-input" else name[:4])
        assert card.input == (FLOAT_INPUT if name.endswith("float32-input") else UINT8_INPUT)
        assert (card.source, card.golden) == (source, golden.hash)
        assert (model.producer_name, model.ir_version, model.graph.name) == ("nin-onnx", 8, "nin-digits")
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
        onnx.checker.check_model(model, full_check=True)


def test_the_card_of_int8_says_how_the_ranges_were_found(exported_variants: Export) -> None:
    told = exported_variants.variants[3].card.calibration
    assert told is not None
    assert set(told["label_changes"]) == {"minmax", "entropy", "percentile"}
    assert told["label_changes"][told["method"]] == min(told["label_changes"].values())
    facts = {"images": 240, "seed": 0, "validation_images": 60, "validation_trained_on": True}
    assert {name: told[name] for name in facts} == facts


def test_the_card_of_a_variant_tells_what_it_changes_on_the_test_images_and_on_which_processor(
    trained: Path, known: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested = replace(known, split="test")
    run = shutil.copytree(trained, tmp_path / "run")
    test = tested.describe() | {"errors": 0, "error": 0.0, "low": 0.0, "high": 1.3}
    (run / "summary.json").write_text(json.dumps({"test": test}))
    monkeypatch.setattr(calibration, "load", lambda recipe, split, data_dir, download: known)
    monkeypatch.setattr(data, "load", lambda name, split, data_dir: tested)
    found = _all(run, precisions=("int8",), inputs=("uint8",))
    (one,) = found.variants
    told = one.card.comparison
    assert told
    session = onnxruntime.InferenceSession(one.model, providers=["CPUExecutionProvider"])
    labels = session.run(["logits"], {"images": tested.images})[0].argmax(1)
    changes = int(np.count_nonzero(labels != tested.labels))  # which are the network's own
    assert (told["errors"], told["net"], told["label_changes"], told["images"]) == (changes, changes, changes, 300)
    assert (told["runtime"], tuple(told["instructions"])) == (f"ONNX Runtime {onnxruntime.__version__}", instructions())
    text = (found.model.parent / "README.md").read_text(encoding="utf-8")
    assert f"| `int8/` | {changes} of 300 | {changes:+} | {changes} | ONNX Runtime {onnxruntime.__version__} on " in text


def test_without_the_test_images_it_tells_nothing_of_them(exported_variants: Export) -> None:
    assert {one.card.comparison for one in exported_variants.variants} == {None}
    assert "## Variants" not in (exported_variants.model.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("_at_hand", "quick_export")
def test_an_export_that_could_saturate_is_refused_with_the_layer(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxruntime import quantization

    honest = quantization.quantize_static
    monkeypatch.setattr(quantization, "quantize_static", lambda *given, **how: honest(*given, **how | {"reduce_range": False}))
    with pytest.raises(
        ExportError,
        match=r"'int8' could saturate at the layer 'conv1' \(Conv\), .* 32,767\): .* leave --variant int8 out$",
    ):
        _all(trained, out=tmp_path / "out", precisions=("int8",))
    assert not (tmp_path / "out").exists()


def test_a_variant_with_float_input_gives_the_golden_answers_of_the_other(exported_variants: Export) -> None:
    folder = exported_variants.model.parent
    for one, other in ((".", "float32-input"), ("fp16", "fp16-float32-input"), ("int8", "int8-float32-input")):
        first, second = read_golden(folder / one), read_golden(folder / other)
        assert first is not None
        assert second is not None
        np.testing.assert_array_equal(planar(first.images), second.images, strict=True)
        for name, array in first.outputs.items():
            np.testing.assert_array_equal(array, second.outputs[name], strict=True)


@pytest.mark.parametrize("name", ["int8-float32-input", *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[:-1])])
def test_eval_passes_a_variant_on_runtimes_that_share_no_code(name: str, exported_variants: Export, known: Dataset) -> None:
    path = exported_variants.model.parent / name / "model.onnx"
    report = evaluate(
        path, EvalOptions(runtimes=["onnxruntime", "openvino", "reference"], dataset=replace(known, split="test"), threads=1)
    )
    assert {row.runtime: (row.outcome, row.reason) for row in report.rows} == dict.fromkeys(
        ("onnxruntime", "openvino", "reference"), ("pass", None)
    )
    precision = "fp32" if name == "float32-input" else name[:4]
    assert [row.facts.precision for row in report.rows if row.facts] == [
        precision,
        "int8" if precision == "int8" else "fp32",
        precision,
    ]
    if precision == "fp32":
        assert report.source is None
    else:
        assert report.source is not None
        assert report.source.comparison is not None
        assert report.source.comparison.images == 300
        assert report.source.comparison.changes <= 10


@pytest.mark.slow
@pytest.mark.usefixtures("_at_hand")
def test_two_exports_of_the_variants_are_the_same_bytes(exported_variants: Export, trained: Path, tmp_path: Path) -> None:
    again = _all(trained, out=tmp_path / "elsewhere")
    for one, other in zip(exported_variants.variants, again.variants, strict=True):
        assert one.model.read_bytes() == other.model.read_bytes()


@pytest.mark.usefixtures("_at_hand", "quick_export")
def test_a_variant_that_errs_too_often_stops_the_export(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = calibration.logits

    def forgetful(model: onnx.ModelProto, images: NDArray[Any]) -> NDArray[np.float32]:
        quantized = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
        return honest(model, images) * (-1 if quantized else 1)

    monkeypatch.setattr(int8, "logits", forgetful)
    with pytest.raises(ExportError, match=r"'int8' makes \d+ more errors than fp32 .* b = \d+, c = 0, .* at most 0 are allowed"):
        _all(trained, out=tmp_path / "out", precisions=("int8",))
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("quick_export")
def test_other_training_images_than_the_runs_are_refused(
    trained: Path, known: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = replace(known, images=255 - known.images)
    monkeypatch.setattr(calibration, "load", lambda recipe, split, data_dir, download: others)
    with pytest.raises(DataError, match="fingerprint"):
        _all(trained, out=tmp_path / "out")


def test_validation_images_are_the_held_out_ones_where_there_are_any(
    trained: Path, known: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, checkpoint = load_classifier(trained / "model.safetensors")
    held = replace(known, held_out=50)
    monkeypatch.setattr(calibration, "load", lambda recipe, split, data_dir, download: held)
    found = calibration.calibration_data(replace(checkpoint, dataset=known[:250].describe()), None)
    assert not found.trained_on
    np.testing.assert_array_equal(found.validation.images, known.images[250:])
    assert len(found.calibration) == 250


def test_a_handful_of_training_images_is_an_error_and_no_empty_comparison(
    trained: Path, known: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, checkpoint = load_classifier(trained / "model.safetensors")
    monkeypatch.setattr(calibration, "load", lambda recipe, split, data_dir, download: known[:4])
    with pytest.raises(DataError, match="has 4 training images, too few to judge a variant"):
        calibration.calibration_data(replace(checkpoint, dataset=known[:4].describe()), None)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_without_onnx_runtime_the_error_is_one_line_with_the_command(
    precision: str, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(purpose: str, extra: str, *packages: str) -> None:
        if "onnxruntime" in packages:
            raise MissingExtraError(purpose, packages[0], extra)

    monkeypatch.setattr(exporter, "require", absent)
    with pytest.raises(MissingExtraError, match=rf"^the variant '{precision}' needs .* pip install 'nin-onnx\[cpu\]'$"):
        _all(trained, precisions=("fp32", precision))


@pytest.mark.usefixtures("_at_hand", "quick_export")
def test_the_command_tells_size_and_mcnemars_figures_of_each(trained: Path, tmp_path: Path) -> None:
    command = [str(trained), "--out", str(tmp_path / "out"), "--variant", "fp16", "--input", "uint8"]
    (line,) = (line for line in CliRunner().invoke(export, command).stdout.splitlines() if "fp16/model.onnx" in line)
    assert "× fp32, against fp32 on validation images: 0 of 60 labels changed, b = 0, c = 0, p = 1" in line
