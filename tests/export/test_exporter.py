"""From a run to a model folder: what lies in it, the same bytes each time, and what is refused."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

import nin_onnx
from nin_onnx.card import read_card
from nin_onnx.errors import MissingExtraError, RunError, UnknownNameError
from nin_onnx.export import Export, export_run
from nin_onnx.export.model_card import render
from nin_onnx.export.options import settings_from
from nin_onnx.golden import FOLDER, golden_images, read_golden

if TYPE_CHECKING:
    from tests.export.conftest import Contents

CHECKOUT = Path(nin_onnx.__file__).parents[1]
WITHOUT_ONNXRUNTIME = """
import sys
sys.modules["onnxruntime"] = None  # as if it were not installed
from nin_onnx.cli import main
main()
"""


def test_a_model_folder_holds_the_graph_its_weights_and_its_golden_vectors(
    exported: Export, run: Path, contents: "Contents"
) -> None:
    assert exported.model == run / "model" / "model.onnx"
    files = contents(run / "model")
    outputs = [f"{FOLDER}/output_{i}.pb" for i in range(3)]
    assert sorted(files) == ["README.md", "model.onnx", "model.safetensors", f"{FOLDER}/input_0.pb", *outputs]
    assert len(files["model.onnx"]) == exported.size
    assert files["model.safetensors"] == (run / "model.safetensors").read_bytes()


def test_the_vectors_are_numbered_as_the_graph_numbers_its_outputs(exported: Export, model: onnx.ModelProto) -> None:
    folder = exported.model.parent / FOLDER
    names = [onnx.load_tensor(str(folder / f"output_{i}.pb")).name for i in range(len(model.graph.output))]
    assert names == [value.name for value in model.graph.output]


def test_the_golden_vectors_are_the_network_in_float64_rounded_to_float32(
    exported: Export, calculate: Callable[[NDArray[np.uint8]], dict[str, NDArray[np.float64]]]
) -> None:
    folder = exported.model.parent / FOLDER
    tensors = [numpy_helper.to_array(onnx.load_tensor(str(path))) for path in sorted(folder.iterdir())]
    images = golden_images(8, 8, 1)
    np.testing.assert_array_equal(tensors[0], images, strict=True)
    for found, expected in zip(tensors[1:], calculate(images).values(), strict=True):
        np.testing.assert_array_max_ulp(found, expected.astype(np.float32), maxulp=1)


def test_the_card_says_what_the_run_said(exported: Export, model: onnx.ModelProto) -> None:
    card = read_card(model)
    assert card is not None
    assert card == exported.card
    assert (card.name, card.architecture, card.recipe, card.experiment) == ("nin-digits", "nin-digits", "random", None)
    assert (card.height, card.width, card.channels) == (8, 8, 1)
    assert card.labels == tuple(f"class {number}" for number in range(10))
    assert card.preprocessing == ("scale", "standardize")
    assert (card.dataset["name"], card.dataset["images"], card.dataset["fingerprint"]) == ("digits", 64, "f" * 64)
    assert model.graph.name == "nin-digits"


@pytest.mark.usefixtures("quick_export")
def test_the_card_carries_the_runs_test_error_and_the_license_that_was_given(own_run: Path) -> None:
    test = {"name": "digits", "split": "test", "images": 360, "provenance": "official", "fingerprint": "0" * 64}
    test |= {"errors": 5, "error": 100 * 5 / 360, "low": 0.6, "high": 3.2}
    (own_run / "summary.json").write_text(json.dumps({"test": test}))
    exported = export_run(own_run, license="MIT")
    card = read_card(onnx.load(exported.model))
    assert card is not None
    assert (card.test, card.license) == (test, "MIT")
    (own_run / "summary.json").write_text(json.dumps({"validation_error": 1.0}))  # the test data was not looked at
    assert export_run(own_run).card.test is None


def test_the_readme_is_what_the_card_says(exported: Export) -> None:
    assert (exported.model.parent / "README.md").read_text(encoding="utf-8") == render(exported.card)


def test_the_card_names_weights_and_vectors_by_their_hashes(exported: Export, model: onnx.ModelProto) -> None:
    card = read_card(model)
    vectors = read_golden(exported.model.parent)
    assert card is not None
    assert vectors is not None
    assert card.golden == vectors.hash
    assert card.weights == hashlib.sha256((exported.model.parent / "model.safetensors").read_bytes()).hexdigest()


def test_the_card_names_the_versions_that_trained_and_exported(exported: Export) -> None:
    assert exported.card.trained_with["torch"] == "2.11.0"  # what the run says it was trained with, not what is installed
    assert exported.card.exported_with["torch"] == version("torch")
    assert exported.card.exported_with["onnxsim"] == version("onnxsim")


def test_two_exports_of_a_run_are_the_same_bytes(exported: Export, run: Path, tmp_path: Path, contents: "Contents") -> None:
    again = export_run(run, tmp_path / "elsewhere")
    assert contents(again.model.parent) == contents(exported.model.parent)


def test_an_export_is_the_same_bytes_in_another_process_and_folder_and_without_onnx_runtime(
    exported: Export, run: Path, tmp_path: Path, contents: "Contents"
) -> None:
    command = [sys.executable, "-c", WITHOUT_ONNXRUNTIME, "export", str(run), "--out", "elsewhere"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "PYTHONHASHSEED": "123"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert contents(tmp_path / "elsewhere") == contents(exported.model.parent)


def test_no_path_of_this_machine_is_in_any_file(
    exported: Export, run: Path, model: onnx.ModelProto, contents: "Contents"
) -> None:
    content = b"\n".join(contents(exported.model.parent).values())
    for path in (CHECKOUT, run, Path(sys.prefix), Path.home()):
        assert str(path).encode() not in content or str(path) == path.anchor
    assert b"site-packages" not in content
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    text = str(model)  # all that is left in the file but numbers
    assert [trace for trace in ("/", ".py", "onnxsim.", "doc_string") if trace in text] == []


def test_the_golden_check_comes_last(exported: Export) -> None:
    assert exported.passes[-1].name == "check_golden"


def test_an_option_that_there_is_not_is_refused(own_run: Path) -> None:
    with pytest.raises(TypeError, match="lisense"):
        export_run(own_run, lisense="MIT")  # type: ignore[call-arg] # which mypy sees too


@pytest.mark.parametrize(
    ("given", "word"), [({"precisions": ("fp8",)}, "precision 'fp8'"), ({"inputs": ("uint",)}, "input 'uint'")]
)
def test_a_form_that_there_is_not_is_refused_before_anything_is_done(
    given: dict[str, tuple[str, ...]], word: str, own_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nin_onnx.export.to_onnx.golden_vectors", lambda classifier: pytest.fail("work was done"))
    with pytest.raises(UnknownNameError, match=f"unknown {word}: "):
        export_run(own_run, **given)  # type: ignore[arg-type] # which of its arguments is the test's to choose


def test_a_run_without_checkpoint_is_an_error_that_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"holds no checkpoint \(model.safetensors\): make one with nin-onnx train"):
        export_run(tmp_path)


@pytest.mark.parametrize("package", ["torch", "safetensors", "onnxscript", "onnxsim"])
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    package: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment] # None: as if it were not installed
    monkeypatch.setitem(modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"^export needs the package '{package}': pip install 'nin-onnx\[train\]'$"):
        export_run(run)


def test_the_license_may_be_given_under_the_name_that_it_had() -> None:
    old: Any = {"licence": "MIT"}
    assert settings_from(old) == settings_from({"license": "MIT"}) != settings_from({})
