"""`nin-onnx doctor`: what it finds on machines that are made up, and on this one."""

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner
from onnx import helper

from nin_onnx import models
from nin_onnx.cli import cli
from nin_onnx.machine import instructions
from nin_onnx.runtimes import RUNTIMES, diagnosis
from nin_onnx.runtimes.backends.registry import runtime
from nin_onnx.runtimes.diagnosis import diagnose
from nin_onnx.runtimes.read_model import read_model


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Leaves these of the runtimes, since each takes its time."""

    def leave(*names: str) -> None:
        monkeypatch.setattr(diagnosis, "RUNTIMES", {name: RUNTIMES[name] for name in names})

    return leave


@pytest.mark.slow
def test_every_runtime_is_listed_in_order_with_its_installed_version_or_a_reason() -> None:
    found = diagnose().runtimes
    assert [state.runtime for state in found] == list(RUNTIMES)
    states = {state.runtime: state for state in found}
    for name, package in {"onnxruntime": "onnxruntime", "opencv": "opencv-python-headless", "reference": "onnx"}.items():
        assert (states[name].usable, states[name].version) == (True, metadata.version(package))
    assert all(state.version if state.usable else state.reason for state in found)


def test_an_absent_package_has_its_reason_and_its_command(monkeypatch: pytest.MonkeyPatch, only: Callable[..., None]) -> None:
    only("tract")
    monkeypatch.setattr("nin_onnx.runtimes.backends.base.find_spec", lambda name: None)
    state = {state.runtime: state for state in diagnose().runtimes}["tract"]
    assert (state.usable, state.reason) == (False, "the package 'tract' is not installed")
    assert state.install == "pip install 'nin-onnx[runtimes]'"


def test_the_processors_instruction_sets_are_named(only: Callable[..., None]) -> None:
    only()
    assert diagnose().features == instructions()


def test_the_driver_is_named_in_its_own_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, only: Callable[..., None]) -> None:
    only()
    (tmp_path / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.1\nGCC version: 12\n")
    monkeypatch.setattr(diagnosis, "DRIVER", tmp_path / "version")
    assert diagnose().driver == "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.1"


def test_a_runtime_for_8_bits_alone_is_usable_though_the_model_on_trial_has_none(only: Callable[..., None]) -> None:
    only("emulated-avx2")
    assert [state.usable for state in diagnose().runtimes] == [True]
    assert [state.usable for state in diagnose(read_model(models.find("nin-digits"))).runtimes] == [False]


def test_two_packages_of_onnx_runtime_clash(monkeypatch: pytest.MonkeyPatch, only: Callable[..., None]) -> None:
    only()
    monkeypatch.setattr(diagnosis, "packages", lambda: ["onnxruntime", "onnxruntime-gpu"])
    (clash,) = diagnose().clashes
    assert clash.startswith("'onnxruntime' and 'onnxruntime-gpu' carry the same module")
    assert clash.endswith(": pip uninstall --yes onnxruntime onnxruntime-gpu && pip install 'nin-onnx[cpu]'")
    monkeypatch.setattr(diagnosis, "packages", lambda: ["onnxruntime-gpu"])
    assert diagnose().clashes == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("raise ImportError('libfancy.so.1: cannot open')", "ImportError: libfancy.so.1: cannot open"),
        ("", "AttributeError: module 'onnxruntime' has no attribute"),
        ("import os; os.abort()", "killed by SIGABRT"),
    ],
)
def test_a_package_that_is_installed_and_cannot_be_imported_is_unusable_for_that_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, only: Callable[..., None], content: str, reason: str
) -> None:
    only("onnxruntime", "reference")
    (tmp_path / "onnxruntime.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    found = diagnose()
    assert [state.usable for state in found.runtimes] == [False, True]
    assert (found.runtimes[0].reason or "").startswith(reason)
    assert found.providers == ()


def test_an_opset_that_is_too_new_for_a_runtime_shows(
    tiny_model: Callable[..., Path], made_up: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tiny_model()
    model = onnx.load(path)
    newest = onnx.defs.onnx_opset_version()
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", newest))
    model.ir_version = onnx.IR_VERSION
    onnx.save(model, path)
    names = {name: RUNTIMES[name] for name in ("onnxruntime", "reference")}
    monkeypatch.setattr(diagnosis, "RUNTIMES", names | {"Old": "made_up:Old"})
    monkeypatch.setitem(RUNTIMES, "Old", f"made_up:{made_up('Old')}")
    found = {state.runtime: state for state in diagnose(read_model(path)).runtimes}
    assert found["reference"].usable
    assert not found["Old"].usable
    assert found["Old"].reason == f"RuntimeError: opset {newest} is too new, at most 9 is known"


def test_a_model_that_every_runtime_loads_leaves_them_usable(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("onnxruntime", "opencv", "tract", "ncnn", "mnn", "openvino")
    monkeypatch.setattr(diagnosis, "RUNTIMES", {name: RUNTIMES[name] for name in names})
    assert [(state.usable, state.reason) for state in diagnose(read_model(tiny_model())).runtimes] == [(True, None)] * len(names)


def test_the_command_prints_a_line_for_each_runtime_and_the_same_as_json(only: Callable[..., None]) -> None:
    names = ["onnxruntime", "onnxruntime-cuda", "opencv", "reference"]
    only(*names)
    values = json.loads(CliRunner().invoke(cli, ["doctor", "--json"], standalone_mode=False).output)
    assert [state["runtime"] for state in values["runtimes"]] == names
    assert values["providers"]
    shown = CliRunner().invoke(cli, ["doctor"], standalone_mode=False).output.splitlines()
    assert [line.split()[:2] for line in shown[: len(names)]] == [
        [state["runtime"], "usable" if state["usable"] else "unusable"] for state in values["runtimes"]
    ]


def test_a_module_that_another_package_brings_is_told_in_that_ones_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime("opencv"), "package", "opencv-of-another-name")
    assert runtime("opencv").distribution() == "opencv-python-headless"
    assert runtime("opencv").installed() == metadata.version("opencv-python-headless")


def test_a_runtime_has_no_version_where_its_package_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime("tract"), "package", "no-such-package")
    assert runtime("tract").installed() is None
