"""The fixture `assert_parity`, as the tests of another project use it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nin_onnx

TESTS = """
pytest_plugins = ["nin_onnx.runtimes.pytest_plugin"]
MODEL = {model!r}

def test_passes(assert_parity):
    report = assert_parity(MODEL, runtimes=["onnxruntime", "reference"])
    assert len(report.rows) == 2

def test_fails(assert_parity):
    assert_parity(MODEL, runtimes=["onnxruntime"], tolerance=1e-12)

def test_is_absent(assert_parity):
    assert_parity(MODEL, runtimes=["onnxruntime", "pytorch"])

def test_is_required_under_the_old_name(assert_parity):
    assert_parity(MODEL, runtimes=["onnxruntime"], require=["ncnn-of-another-age"])

def test_misses_a_criterion(assert_parity):
    assert_parity(MODEL, runtimes=["onnxruntime"], max_error=1.0)
"""


def test_a_test_of_another_project_fails_with_the_reasons_where_a_runtime_does_not_pass(
    tiny_model: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "test_theirs.py").write_text(TESTS.format(model=str(tiny_model())))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    root = str(Path(nin_onnx.__file__).parents[1])
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": root, "PATH": ""})
    assert done.returncode == 1, done.stdout + done.stderr
    assert "4 failed, 1 passed" in done.stdout
    assert "unknown runtime 'ncnn-of-another-age'" in done.stdout
    assert "no error was measured: give --dataset" in done.stdout
    assert "does not give the same answers everywhere" in done.stdout
    assert "onnxruntime: fail: 'logits' differs from the golden vectors by" in done.stdout
    assert "pytorch: skipped: no checkpoint 'model.safetensors' beside the model" in done.stdout
