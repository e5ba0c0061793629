"""Commands where little is installed: they print what they can, and fail for nothing that they do not use."""

import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest

BARE = """
import sys
for name in {hidden}:
    sys.modules[name] = None  # as if it were not installed
from nin_onnx.cli import main
main()
"""
INSTALLED = {name for name in packages_distributions() if not name.startswith(("nin_onnx", "__editable__"))}


def bare(hidden: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """How a command ends without the modules `hidden`."""
    command = [sys.executable, "-c", BARE.format(hidden=sorted(hidden)), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_what_is_hidden_is_missed() -> None:
    assert {"torch", "onnx", "pooch", "scipy", "sklearn", "PIL", "matplotlib", "safetensors"} <= INSTALLED
    done = bare({"torch"}, "train", "digits")
    assert (done.returncode, "needs the package 'torch'" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["recipes"], "cifar10-augmented-modern"),
        (["results"], "| Table 4 | mnist | NIN + dropout | 0.47 |"),
        (["results", "--runs"], "mnist-modern"),
        (["results", "--missing"], "nin-onnx train"),
        (["data"], "mnist     absent: nin-onnx data mnist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_click_and_numpy_are_enough_to_print(arguments: list[str], printed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NIN_ONNX_DATA", raising=False)
    done = bare(INSTALLED - {"click", "numpy"}, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert printed in done.stdout


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["models"], "nin-mnist"),
        (["show", "nin-mnist"], "conv1"),
        (["doctor"], "onnxruntime "),
        (["recipes", "--json"], "{"),
        (["results", "--json"], "{"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_models_are_listed_and_shown_without_torch(arguments: list[str], printed: str) -> None:
    done = bare({"torch", "safetensors"}, *arguments)
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout
