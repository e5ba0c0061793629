"""The table of data sets, and the two functions that users reach them by."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nin_onnx import data
from nin_onnx.data import DATASETS, Dataset, Source, Split, UnofficialDataWarning
from nin_onnx.errors import DataError, UnknownNameError


def made_up(official: bool, calls: list[str]) -> Source:
    def load(split: Split, folder: Path) -> Dataset:
        calls.append(f"load {split} from {folder}")
        return Dataset("made-up", split, np.zeros((1, 2, 2, 1), np.uint8), np.zeros(1, np.int64), ("a",), official)

    def download(folder: Path) -> Path:
        calls.append(f"download to {folder}")
        return folder / "made-up"

    return Source(load, download, 1, 1)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(data, "DATASETS", {"made-up": made_up(True, calls), "changed": made_up(False, calls)})
    return calls


def test_the_data_sets_are_those_that_the_documents_name() -> None:
    assert list(DATASETS) == ["mnist", "cifar10", "cifar100", "svhn", "digits"]


def test_the_names_are_there_without_anything_heavy() -> None:
    heavy = "torch", "onnx", "onnxruntime", "PIL", "scipy", "sklearn", "pooch", "requests", "tqdm"
    script = f"import sys; from nin_onnx.data import DATASETS; print([name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_a_split_is_loaded_from_the_folder_that_was_named(calls: list[str]) -> None:
    assert data.load("made-up", "test", Path("/here")).split == "test"
    assert calls == ["load test from /here"]


def test_a_download_comes_first_where_it_is_asked_for(calls: list[str]) -> None:
    data.load("made-up", "train", Path("/here"), download=True)
    assert calls == ["download to /here", "load train from /here"]


def test_a_download_gives_the_folder_with_the_files(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIN_ONNX_DATA", "/environment")
    assert data.download("made-up") == Path("/environment/made-up")
    assert calls == ["download to /environment"]


def test_an_unofficial_copy_is_used_with_one_warning_at_the_callers_line(calls: list[str]) -> None:
    with pytest.warns(UnofficialDataWarning, match="^data set 'changed' in '/here' is an unofficial copy") as caught:
        train = data.load("changed", "train", Path("/here"))
    test = data.load("changed", "test", Path("/here"))  # a second warning would be an error
    assert (train.provenance, test.provenance) == ("unofficial copy", "unofficial copy")
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("name", ["mnist", "cifar10", "cifar100", "svhn"])
def test_absent_data_give_the_folder_and_the_command(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        data.load(name, "train", tmp_path)
    assert str(caught.value).startswith(f"data set '{name}' is not in '{tmp_path}' (no '")
    assert str(caught.value).endswith(f"'): nin-onnx data {name} --data-dir {tmp_path}")


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown data set 'cifar-10': did you mean 'cifar10'"):
        data.load("cifar-10", "train")
    with pytest.raises(UnknownNameError, match=r"^unknown data set 'nmist': did you mean 'mnist'"):
        data.download("nmist")


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown split 'validation': known are test, train"):
        data.load("mnist", "validation")  # type: ignore[arg-type]
