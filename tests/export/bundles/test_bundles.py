"""The list of bundles, and an export that writes them."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from nin_onnx.cli import cli
from nin_onnx.errors import UnknownNameError
from nin_onnx.export import export_run
from nin_onnx.export import to_onnx as stage

if TYPE_CHECKING:
    from tests.export.conftest import Contents


@pytest.mark.usefixtures("quick_export")
def test_an_export_writes_the_bundles_that_are_asked_for_into_the_model_folder(
    run: Path, tmp_path: Path, contents: "Contents"
) -> None:
    options = ["--bundle", "zoo", "--bundle", "triton", "--bundle", "triton", "--input", "uint8", "--input", "float32"]
    result = CliRunner().invoke(cli, ["export", str(run), "--out", str(tmp_path / "out"), *options])
    assert (result.exit_code, result.exception) == (0, None)
    names = ("nin-digits", "nin-digits-float32-input")
    files = {*(f"zoo/{name}.tar.gz" for name in names), *(f"triton/{name}/config.pbtxt" for name in names)}
    assert files <= contents(tmp_path / "out").keys()
    lines = result.output.splitlines()
    assert [lines.count(str(tmp_path / "out" / name)) for name in ("zoo", "triton")] == [1, 1]


@pytest.mark.usefixtures("quick_export")
def test_the_bundles_of_two_exports_are_the_same_bytes_and_the_second_takes_the_place_of_the_first(
    run: Path, tmp_path: Path, contents: "Contents"
) -> None:
    for folder in ("one", "other", "other"):
        export_run(run, tmp_path / folder, bundles=("zoo", "triton"))
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
    export_run(run, tmp_path / "other")
    assert not {path.name for path in (tmp_path / "other").iterdir()} & {"zoo", "triton"}


def test_an_unknown_bundle_is_refused_before_anything_is_done(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "golden_vectors", lambda classifier: pytest.fail("work was done"))
    with pytest.raises(UnknownNameError, match="unknown bundle 'tritn': did you mean 'triton'"):
        export_run(run, tmp_path / "out", bundles=("tritn",))


def test_a_variant_is_in_each_bundle_under_a_name_of_its_own(bundled: Path) -> None:
    assert sorted(path.name for path in (bundled / "zoo").iterdir()) == ["nin-digits-fp16.tar.gz", "nin-digits.tar.gz"]
    assert sorted(path.name for path in (bundled / "triton").iterdir()) == ["nin-digits", "nin-digits-fp16"]
