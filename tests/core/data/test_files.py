"""Where data files are looked for, and what is said of those that cannot be read."""

import sys
from pathlib import Path

import pytest

from nin_onnx.data.files import checksum, data_folder, file_checksum, read, warn_unofficial
from nin_onnx.errors import AbsentDataError, DataError, UnofficialDataWarning


def test_the_argument_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIN_ONNX_DATA", "/environment")
    assert data_folder(Path("/argument")) == Path("/argument")


def test_the_environment_comes_before_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIN_ONNX_DATA", "~/data")
    assert data_folder() == Path.home() / "data"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="XDG_CACHE_HOME is Linux's")
def test_the_cache_is_the_platforms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NIN_ONNX_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "nin-onnx"


def test_a_named_folder_needs_no_pooch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setenv("NIN_ONNX_DATA", "/environment")
    assert data_folder() == Path("/environment")
    monkeypatch.delenv("NIN_ONNX_DATA")
    with pytest.raises(DataError, match="needs the package 'pooch': pip install pooch, or set NIN_ONNX_DATA"):
        data_folder()


def test_an_absent_file_gives_the_folder_and_a_command_that_a_shell_understands(tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    with pytest.raises(DataError) as caught:
        read("mnist", folder / "mnist" / "labels")
    assert str(caught.value) == (
        f"data set 'mnist' is not in '{folder}' (no '{Path('mnist', 'labels')}'): nin-onnx data mnist --data-dir '{folder}'"
    )


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mnist" / "labels"
    path.mkdir(parents=True)
    with pytest.raises(DataError, match=rf"^'{path}' cannot be read \(Is a directory\)"):
        read("mnist", path)


def test_a_checksum_is_the_one_in_the_standards() -> None:
    assert checksum(b"abc", "md5") == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321, A.5
    assert checksum(b"abc", "sha1") == "a9993e364706816aba3e25717850c26c9cd0d89d"  # RFC 3174, 7.3


def test_a_file_s_checksum_is_that_of_its_content(tmp_path: Path) -> None:
    path = tmp_path / "svhn" / "data.mat"
    path.parent.mkdir()
    path.write_bytes(b"abc")
    assert file_checksum("svhn", path, "md5") == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321, A.5


def test_a_file_without_a_checksum_is_absent_or_cannot_be_read(tmp_path: Path) -> None:
    absent = tmp_path / "svhn" / "data.mat"
    with pytest.raises(
        AbsentDataError, match=rf"^data set 'svhn' is not in '{tmp_path}' \(no 'svhn/data.mat'\): nin-onnx data svhn"
    ):
        file_checksum("svhn", absent, "md5")
    with pytest.raises(DataError, match=rf"^'{tmp_path}' cannot be read \(Is a directory\)"):
        file_checksum("svhn", tmp_path, "md5")


def test_each_unofficial_data_set_is_warned_of_once(tmp_path: Path) -> None:
    with pytest.warns(UnofficialDataWarning, match="data set 'mnist'"):
        warn_unofficial("mnist", tmp_path)
    with pytest.warns(UnofficialDataWarning, match="data set 'cifar10'"):
        warn_unofficial("cifar10", tmp_path)
    warn_unofficial("mnist", tmp_path)  # a second warning would be an error
