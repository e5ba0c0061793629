"""From a run to a model folder: what lies in it, and what happens when something goes wrong."""

import copy
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

import nin_onnx
from nin_onnx.card import read_card
from nin_onnx.errors import ExportError, MissingExtraError, NinOnnxError, RunError, UnknownNameError
from nin_onnx.export import Export, export_run, exporter
from nin_onnx.export.passes import PASSES, Pass
from nin_onnx.export.passes.check_golden import check_golden
from nin_onnx.golden import FOLDER, Golden, golden_images, read_golden
from nin_onnx.model_card import render

CHECKOUT = Path(nin_onnx.__file__).parents[1]

WITHOUT_ONNXRUNTIME = """
import sys
sys.modules["onnxruntime"] = None  # as if it were not installed
from nin_onnx.cli import main
main()
"""


def contents(folder: Path) -> dict[str, bytes]:
    """All files below `folder`, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def own_run(run: Path, tmp_path: Path) -> Path:
    """The run, alone in a folder of this test's own."""
    (tmp_path / "run").mkdir()
    shutil.copy(run / "model.safetensors", tmp_path / "run")
    return tmp_path / "run"


def test_a_model_folder_holds_the_graph_its_weights_and_its_golden_vectors(exported: Export, run: Path) -> None:
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
    assert card.preprocessing == ("scale", "standardise")
    assert (card.dataset["name"], card.dataset["images"], card.dataset["fingerprint"]) == ("digits", 64, "f" * 64)
    assert model.graph.name == "nin-digits"


@pytest.mark.usefixtures("quick_export")
def test_the_card_carries_the_runs_test_error_and_the_licence_that_was_given(own_run: Path) -> None:
    test = {"name": "digits", "split": "test", "images": 360, "provenance": "official", "fingerprint": "0" * 64}
    test |= {"errors": 5, "error": 100 * 5 / 360, "low": 0.6, "high": 3.2}
    (own_run / "summary.json").write_text(json.dumps({"test": test}))
    exported = export_run(own_run, licence="MIT")
    card = read_card(onnx.load(exported.model))
    assert card is not None
    assert (card.test, card.licence) == (test, "MIT")
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


def test_two_exports_of_a_run_are_the_same_bytes(exported: Export, run: Path, tmp_path: Path) -> None:
    again = export_run(run, tmp_path / "elsewhere")
    assert contents(again.model.parent) == contents(exported.model.parent)


def test_an_export_is_the_same_bytes_in_another_process_and_folder_and_without_onnx_runtime(
    exported: Export, run: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", WITHOUT_ONNXRUNTIME, "export", str(run), "--out", "elsewhere"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "PYTHONHASHSEED": "123"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert contents(tmp_path / "elsewhere") == contents(exported.model.parent)


def test_no_path_of_this_machine_is_in_any_file(exported: Export, run: Path, model: onnx.ModelProto) -> None:
    content = b"\n".join(contents(exported.model.parent).values())
    for path in (CHECKOUT, run, Path(sys.prefix), Path.home()):
        assert str(path).encode() not in content or str(path) == path.anchor
    assert b"site-packages" not in content
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    text = str(model)  # all that is left in the file but numbers
    assert [trace for trace in ("/", ".py", "onnxsim.", "doc_string") if trace in text] == []


def changes_a_weight(model: onnx.ModelProto, golden: Golden) -> onnx.ModelProto:
    model = copy.deepcopy(model)
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "cccp3.weight")
    weight = numpy_helper.to_array(tensor).copy()
    weight.flat[100] += 0.01
    tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))
    return model


def changes_the_third_bias(model: onnx.ModelProto, golden: Golden) -> onnx.ModelProto:
    """Before names are stable and after."""
    model = copy.deepcopy(model)
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name.endswith("cccp2.bias"))
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(1), tensor.name))
    return model


def turns_ceil_mode_off(model: onnx.ModelProto, golden: Golden) -> onnx.ModelProto:
    model = copy.deepcopy(model)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "ceil_mode":
                attribute.i = 0
    return model


def swaps_two_outputs(model: onnx.ModelProto, golden: Golden) -> onnx.ModelProto:
    model = copy.deepcopy(model)
    swapped = {"logits": "probabilities", "probabilities": "logits"}
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [swapped.get(name, name) for name in names]
    return model


def gives_nan(model: onnx.ModelProto, golden: Golden) -> onnx.ModelProto:
    model = copy.deepcopy(model)
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "cccp6.bias")
    tensor.CopyFrom(numpy_helper.from_array(np.full(10, np.nan, np.float32), tensor.name))
    return model


DIFFERS = r"the graph's '{}' differs from PyTorch's by {} of .*; it first appears at the node {}, in the graph that {} made"


@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (
            changes_a_weight,
            DIFFERS.format("class_maps", r"\d\.\de-\d\d", r"'cccp3' \(Conv\), by \d\.\de-\d\d", "changes_a_weight"),
        ),
        (turns_ceil_mode_off, r"the graph is not valid ONNX \(.*node name: pool1.*\)"),
        (swaps_two_outputs, DIFFERS.format("probabilities", ".*", r"'flatten' \(Flatten\), by .*", "swaps_two_outputs")),
        (gives_nan, DIFFERS.format("logits", "inf", r"'cccp6' \(Conv\)", "gives_nan")),
    ],
)
def test_a_pass_that_changes_the_answers_is_named_with_the_node_and_an_earlier_export_stays(
    broken: Pass, says: str, exported: Export, own_run: Path
) -> None:
    shutil.copytree(exported.model.parent, own_run / "model")
    before = contents(own_run.parent)
    with pytest.raises(ExportError, match=rf"^{says}: nothing is written"):
        export_run(own_run, passes=(*PASSES[:-1], broken, PASSES[-1]))
    assert contents(own_run.parent) == before


@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize("place", range(len(PASSES)))
def test_a_pass_that_breaks_the_graph_is_named_wherever_it_stands(place: int, own_run: Path) -> None:
    found = r"first appears at the node .*\(Conv\), by \d\.\de-\d\d, in the graph that changes_the_third_bias made"
    with pytest.raises(ExportError, match=found):
        export_run(own_run, passes=(*PASSES[:place], changes_the_third_bias, *PASSES[place:]))


def test_a_graph_that_torch_made_wrong_is_compared_with_the_modules_of_the_network(
    raw: onnx.ModelProto, own_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = changes_the_third_bias(raw, Golden(np.empty(0, np.uint8), {}))
    monkeypatch.setattr("nin_onnx.export.to_onnx.to_onnx", lambda classifier: broken)
    (node,) = (node for node in broken.graph.node if "network.cccp2.weight" in node.input)
    found = rf"first appears at the node '{node.name}' \(Conv\), by \d\.\de-\d\d, in the graph that torch.onnx.export made"
    with pytest.raises(ExportError, match=found):
        export_run(own_run)


@pytest.mark.usefixtures("quick_export")
def test_an_export_that_fails_leaves_no_file(own_run: Path) -> None:
    with pytest.raises(ExportError):
        export_run(own_run, passes=(*PASSES[:-1], gives_nan, PASSES[-1]))
    assert list(contents(own_run.parent)) == ["run/model.safetensors"]


def test_the_golden_check_comes_last() -> None:
    assert PASSES[-1] is check_golden


@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_earlier_export_and_nothing_half_written(
    error: BaseException, exported: Export, own_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path, golden: Golden) -> NoReturn:
        assert (folder / "model.onnx").stat().st_size == exported.size  # half is written
        raise error

    monkeypatch.setattr(exporter, "write_golden", fail)
    shutil.copytree(exported.model.parent, own_run / "model")
    before = contents(own_run.parent)
    with pytest.raises((NinOnnxError, KeyboardInterrupt)):
        export_run(own_run)
    assert contents(own_run.parent) == before


@pytest.mark.usefixtures("quick_export")
def test_an_export_takes_the_place_of_an_earlier_one(exported: Export, own_run: Path) -> None:
    shutil.copytree(exported.model.parent, own_run / "model")
    (own_run / "model" / "model.onnx").write_bytes(b"old")
    (own_run / "model" / FOLDER / "output_3.pb").write_bytes(b"of an earlier version")
    export_run(own_run)
    assert contents(own_run / "model") == contents(exported.model.parent)


@pytest.mark.parametrize(
    "file",
    ["int8/notes.txt", "test_data_set_0/photograph.png", "triton/nin-digits/1/model.plan", "zoo/.hidden", "fp32/model.onnx"],
)
def test_what_someone_put_into_an_earlier_export_is_not_lost(file: str, exported: Export, own_run: Path) -> None:
    shutil.copytree(exported.model.parent, own_run / "model")
    (own_run / "model" / file).parent.mkdir(parents=True, exist_ok=True)
    (own_run / "model" / file).write_text("mine")
    before = contents(own_run.parent)
    with pytest.raises(RunError, match="is not only an earlier export"):
        export_run(own_run)
    assert contents(own_run.parent) == before


@pytest.mark.usefixtures("quick_export")
def test_what_someone_put_there_while_it_worked_is_not_lost(own_run: Path) -> None:
    def is_watched(model: onnx.ModelProto, golden: Golden) -> onnx.ModelProto:
        (own_run / "model").mkdir()
        (own_run / "model" / "notes.txt").write_text("mine")
        return model

    with pytest.raises(RunError, match="is not only an earlier export"):
        export_run(own_run, passes=(is_watched,))
    assert sorted(contents(own_run)) == ["model.safetensors", "model/notes.txt"]


@pytest.mark.parametrize(
    ("given", "word"), [({"precisions": ("fp8",)}, "precision 'fp8'"), ({"inputs": ("uint",)}, "input 'uint'")]
)
def test_a_form_that_there_is_not_is_refused_before_anything_is_done(
    given: dict[str, tuple[str, ...]], word: str, own_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nin_onnx.export.to_onnx.golden_vectors", lambda classifier: pytest.fail("work was done"))
    with pytest.raises(UnknownNameError, match=f"unknown {word}: "):
        export_run(own_run, **given)  # type: ignore[arg-type] # which of its arguments is the test's to choose


@pytest.mark.usefixtures("quick_export")
def test_an_empty_folder_is_filled(own_run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert export_run(own_run, tmp_path / "out").model.exists()


@pytest.mark.parametrize(
    "files",
    [
        ["notes.txt"],
        ["model.onnx", "notes.txt"],  # a project that holds a model is more than a model
        ["model.safetensors"],
        ["README.md", "model.onnx"],
    ],
)
def test_a_folder_of_something_else_is_refused_before_anything_is_done(
    files: list[str], own_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    for file in files:
        (target / file).write_text("mine")
    monkeypatch.setattr("nin_onnx.export.to_onnx.golden_vectors", lambda classifier: pytest.fail("work was done"))
    with pytest.raises(RunError, match="choose another --out") as caught:
        export_run(own_run, target)
    assert f"'{target}'" in str(caught.value)
    assert contents(target) == dict.fromkeys(files, b"mine")


def test_a_file_is_not_replaced_by_a_folder(own_run: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("mine")
    with pytest.raises(RunError, match="choose another --out"):
        export_run(own_run, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").read_text() == "mine"


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
