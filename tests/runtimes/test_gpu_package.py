"""`onnxruntime-gpu` in an environment of its own, where there is no CUDA: skipped, where required a failure, never a pass."""

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from nin_onnx.runtimes import RUNTIMES, Criteria, EvalOptions, evaluate
from nin_onnx.runtimes.backends.onnxruntime_cuda import OnnxRuntimeCuda, has_gpu

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"

PRETEND_GPU = """
import nin_onnx.runtimes.backends.onnxruntime_cuda as cuda


class Fallen(cuda.OnnxRuntimeCuda):
    @classmethod
    def check(cls):
        assert cuda.packages() == ["onnxruntime-gpu"]
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.skipif(has_gpu(), reason="CUDA may really run here")]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with onnxruntime-gpu, and what nin-onnx itself needs."""
    folder = tmp_path_factory.mktemp("gpu")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    packages = ["onnxruntime-gpu", "numpy", "onnx", "click"]
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-cache-dir", "--disable-pip-version-check"]
    subprocess.run([*map(str, pip), "--constraint", str(CONSTRAINTS), *packages], check=True)
    site = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    (Path(site) / "fallen.py").write_text(PRETEND_GPU)
    return folder / "bin" / "python"


def test_without_a_gpu_it_is_skipped_and_where_required_that_is_a_failure(tiny_model: Callable[..., Path], python: Path) -> None:
    report = evaluate(
        tiny_model(), EvalOptions(runtimes=["reference"], interpreters={"cuda": python}, criteria=Criteria(required=("cuda",)))
    )
    assert [(row.runtime, row.outcome, row.reason) for row in report.rows] == [
        ("reference", "pass", None),
        ("onnxruntime-cuda", "skipped", "no NVIDIA GPU on this machine"),
    ]
    assert report.exit_status == 1


def test_where_it_falls_back_to_the_cpu_without_a_word_it_is_skipped(
    tiny_model: Callable[..., Path], python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RUNTIMES, "onnxruntime-cuda", "fallen:Fallen")
    monkeypatch.setattr(
        "nin_onnx.runtimes.workers.run.runtime", lambda name: OnnxRuntimeCuda
    )  # this Python has no module `fallen`
    (row,) = evaluate(tiny_model(), EvalOptions(runtimes=["onnxruntime-cuda"], interpreters={"cuda": python})).rows
    assert row.outcome == "skipped"
    assert row.reason
    assert row.reason.startswith("ONNX Runtime fell back to CPUExecutionProvider")
