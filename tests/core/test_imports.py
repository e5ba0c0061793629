"""What an import brings in: a tool that starts in a moment, and works on machines that have little installed."""

import json
import subprocess
import sys

import pytest

from nin_onnx.cli import COMMANDS

HEAVY = ("matplotlib", "torch", "onnxruntime", "onnx.reference", "onnxscript", "onnxsim", "pooch", "requests", "scipy", "sklearn")
RUNTIMES = ("openvino", "cv2", "tract", "ncnn", "MNN")

RUN = """
import json, runpy, sys
{code}
print()
print(json.dumps([name for name in {names} if name in sys.modules]))
"""

HELP = """
sys.argv = ["nin-onnx", *{arguments}]
try:
    runpy.run_module("nin_onnx", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
"""

TRAIN = """
import pkgutil, importlib
for name in {names}:
    sys.modules[name] = None  # as if it were not installed
import nin_onnx.train
for module in pkgutil.walk_packages(nin_onnx.train.__path__, "nin_onnx.train."):
    if module.name != "nin_onnx.train.kernels":  # of Triton, and imported by fused.py if it is there
        importlib.import_module(module.name)
"""


def loaded(code: str, names: tuple[str, ...] = HEAVY + RUNTIMES) -> list[str]:
    """Which of the modules `names` a new interpreter has loaded after `code`."""
    command = [sys.executable, "-c", RUN.format(code=code, names=names)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: list[str] = json.loads(output.splitlines()[-1])
    return found


def test_the_probe_sees_a_heavy_module() -> None:
    assert loaded("import sklearn") == ["scipy", "sklearn"]


@pytest.mark.parametrize(
    "module",
    [
        "nin_onnx",
        "nin_onnx.cli",
        "nin_onnx.card",
        "nin_onnx.golden",
        "nin_onnx.data",
        "nin_onnx.runtimes",
        "nin_onnx.train",
        "nin_onnx.results.plot",
    ],
)
def test_importing_a_module_loads_nothing_heavy(module: str) -> None:
    assert loaded(f"import {module}") == []


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_no_command_and_nothing_that_they_need(option: str) -> None:
    ours = [name for name, (place, _) in COMMANDS.items() if place.startswith(f"nin_onnx.commands.{name}:")]
    commands = tuple(f"nin_onnx.commands.{name}" for name in ours)
    assert commands
    needed = ("numpy", "onnx", "nin_onnx.data", "nin_onnx.card", "importlib.metadata", "subprocess")
    assert loaded(HELP.format(arguments=[option]), HEAVY + RUNTIMES + commands + needed) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_loads_nothing_heavy(name: str) -> None:
    numpy = () if name == "export" else ("numpy",)  # what a variant's input is stands beside what makes it
    assert loaded(HELP.format(arguments=[name, "--help"]), (*HEAVY, *RUNTIMES, "onnx", *numpy)) == []


@pytest.mark.parametrize("module", ["nin_onnx.data", "nin_onnx.precision", "nin_onnx.runtimes.backends.registry"])
def test_a_table_of_names_loads_no_numpy(module: str) -> None:
    assert loaded(f"import {module}", ("numpy", "onnx")) == []


def test_training_needs_only_torch_numpy_safetensors_and_click() -> None:
    others = ("matplotlib", "onnx", "onnxruntime", "onnxscript", "onnxsim", "pooch", "scipy", "sklearn", "tqdm", "triton")
    assert "torch" in loaded(TRAIN.format(names=others), ("torch",))


def test_the_training_functions_are_imported_with_torch_when_they_are_asked_for() -> None:
    assert loaded("from nin_onnx.train import resume, train; assert train.__module__ == resume.__module__", ("torch",)) == [
        "torch"
    ]
