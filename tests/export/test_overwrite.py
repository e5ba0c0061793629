"""Where an export is written: it takes the place of an earlier one, and of nothing that is someone's own."""

import errno
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import onnx
import pytest

from nin_onnx.errors import NinOnnxError, RunError
from nin_onnx.export import Export, export_run, model_folder
from nin_onnx.export.passes import PASSES, PassResult
from nin_onnx.golden import FOLDER, Golden

if TYPE_CHECKING:
    from tests.export.conftest import Contents


@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_earlier_export_and_nothing_half_written(
    error: BaseException, exported: Export, own_run: Path, monkeypatch: pytest.MonkeyPatch, contents: "Contents"
) -> None:
    def fail(folder: Path, golden: Golden) -> NoReturn:
        assert (folder / "model.onnx").stat().st_size == exported.size  # half is written
        raise error

    monkeypatch.setattr(model_folder, "write_golden", fail)
    shutil.copytree(exported.model.parent, own_run / "model")
    before = contents(own_run.parent)
    with pytest.raises((NinOnnxError, KeyboardInterrupt)):
        export_run(own_run)
    assert contents(own_run.parent) == before


@pytest.mark.usefixtures("quick_export")
def test_an_export_takes_the_place_of_an_earlier_one(exported: Export, own_run: Path, contents: "Contents") -> None:
    shutil.copytree(exported.model.parent, own_run / "model")
    (own_run / "model" / "model.onnx").write_bytes(b"old")
    (own_run / "model" / FOLDER / "output_3.pb").write_bytes(b"of an earlier version")
    export_run(own_run)
    assert contents(own_run / "model") == contents(exported.model.parent)


@pytest.mark.parametrize(
    "file",
    ["int8/notes.txt", "test_data_set_0/photograph.png", "triton/nin-digits/1/model.plan", "zoo/.hidden", "fp32/model.onnx"],
)
def test_what_someone_put_into_an_earlier_export_is_not_lost(
    file: str, exported: Export, own_run: Path, contents: "Contents"
) -> None:
    shutil.copytree(exported.model.parent, own_run / "model")
    (own_run / "model" / file).parent.mkdir(parents=True, exist_ok=True)
    (own_run / "model" / file).write_text("mine")
    before = contents(own_run.parent)
    with pytest.raises(RunError, match="is not only an earlier export"):
        export_run(own_run)
    assert contents(own_run.parent) == before


@pytest.mark.usefixtures("quick_export")
def test_what_someone_put_there_while_it_worked_is_not_lost(own_run: Path, contents: "Contents") -> None:
    def is_watched(model: onnx.ModelProto) -> PassResult:
        (own_run / "model").mkdir()
        (own_run / "model" / "notes.txt").write_text("mine")
        return PassResult(model, changed=False)

    with pytest.raises(RunError, match="is not only an earlier export"):
        export_run(own_run, passes=(*PASSES, is_watched))
    assert sorted(contents(own_run)) == ["model.safetensors", "model/notes.txt"]


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
    files: list[str], own_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contents: "Contents"
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
