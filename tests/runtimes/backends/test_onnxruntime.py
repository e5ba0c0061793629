"""ONNX Runtime on the CPU and on CUDA: what is installed, what ran, and what proves it."""

from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path

import pytest

from nin_onnx.golden import Golden
from nin_onnx.runtimes import EvalOptions, evaluate
from nin_onnx.runtimes.backends.base import Unusable
from nin_onnx.runtimes.backends.onnxruntime_cpu import OnnxRuntime, packages
from nin_onnx.runtimes.backends.onnxruntime_cuda import CUDA, OnnxRuntimeCuda, has_gpu, missing_proof

CPU = "CPUExecutionProvider"
CUDA_CHECK = "nin_onnx.runtimes.backends.onnxruntime_cuda"


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """As if these packages were installed, and no other ONNX Runtime."""

    def pretend(*names: str) -> None:
        def version(name: str) -> str:
            if name in names:
                return "1.0"
            raise metadata.PackageNotFoundError(name)

        monkeypatch.setattr("nin_onnx.runtimes.backends.onnxruntime_cpu.metadata.version", version)

    return pretend


def test_the_cpu_provider_tells_version_threads_and_where_each_node_ran(tiny_model: Callable[..., Path]) -> None:
    (row,) = evaluate(tiny_model(), EvalOptions(runtimes=["onnxruntime"], threads=1)).rows
    assert row.outcome == "pass"
    assert row.facts
    assert row.facts.version == metadata.version("onnxruntime")
    assert (row.facts.package, row.facts.device, row.facts.precision, row.facts.threads) == ("onnxruntime", "cpu", "fp32", 1)
    assert row.facts.providers == (CPU,)
    assert row.facts.assignment
    assert row.facts.assignment[CPU]["Conv"] == 1


def test_without_onnxruntime_the_extra_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nin_onnx.runtimes.backends.base.find_spec", lambda name: None)
    with pytest.raises(Unusable, match="the package 'onnxruntime' is not installed") as caught:
        OnnxRuntime.check()
    assert caught.value.install == "pip install 'nin-onnx[cpu]'"


def test_the_installed_package_is_told_by_its_metadata(install: Callable[..., None]) -> None:
    install("onnxruntime-gpu", "numpy")
    assert packages() == ["onnxruntime-gpu"]


def test_without_a_gpu_cuda_is_skipped_and_no_command_is_suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{CUDA_CHECK}.has_gpu", lambda: False)
    with pytest.raises(Unusable, match="no NVIDIA GPU on this machine") as caught:
        OnnxRuntimeCuda.check()
    assert caught.value.install is None


@pytest.mark.parametrize(
    ("installed", "reason", "command"),
    [
        ((), "the package 'onnxruntime-gpu' is not installed", "pip install 'nin-onnx[gpu]'"),
        (
            ("onnxruntime",),
            "the package 'onnxruntime-gpu' is not installed",
            "pip uninstall --yes onnxruntime && pip install 'nin-onnx[gpu]'",
        ),
        (
            ("onnxruntime", "onnxruntime-gpu"),
            "'onnxruntime' and 'onnxruntime-gpu' carry the same module, and the one installed last wins",
            "pip uninstall --yes onnxruntime onnxruntime-gpu && pip install 'nin-onnx[gpu]'",
        ),
    ],
    ids=["nothing", "cpu", "both"],
)
def test_with_a_gpu_cuda_needs_the_gpu_package_alone(
    monkeypatch: pytest.MonkeyPatch, install: Callable[..., None], installed: tuple[str, ...], reason: str, command: str
) -> None:
    monkeypatch.setattr(f"{CUDA_CHECK}.has_gpu", lambda: True)
    install(*installed)
    with pytest.raises(Unusable, match=reason) as caught:
        OnnxRuntimeCuda.check()
    assert caught.value.install == command


def test_with_a_gpu_and_the_gpu_package_alone_cuda_can_be_tried(
    monkeypatch: pytest.MonkeyPatch, install: Callable[..., None]
) -> None:
    monkeypatch.setattr(f"{CUDA_CHECK}.has_gpu", lambda: True)
    install("onnxruntime-gpu")
    OnnxRuntimeCuda.check()


@pytest.mark.parametrize(
    ("providers", "assignment", "missing"),
    [
        ([CUDA, CPU], {CUDA: {"Conv": 9, "Relu": 9}, CPU: {"Cast": 1}}, None),
        ([CUDA, CPU], {CUDA: {"FusedConv": 9}}, None),
        ([CPU], {CPU: {"Conv": 9}}, f"ONNX Runtime fell back to {CPU}"),
        ([CUDA, CPU], None, "does not tell which provider its nodes ran on"),
        ([CUDA, CPU], {CUDA: {"Conv": 8}, CPU: {"Conv": 1}}, rf"convolutions ran on {CPU} \(1\)"),
        ([CUDA, CPU], {CUDA: {"Relu": 9}, CPU: {"FusedConv": 9}}, rf"convolutions ran on {CPU} \(9\)"),
        ([CUDA, CPU], {CUDA: {"Relu": 9}}, "no convolution ran on CUDA"),
        ([CUDA, CPU], {}, "no convolution ran on CUDA"),
    ],
)
def test_cuda_has_run_only_where_session_and_nodes_say_so(
    providers: list[str], assignment: Mapping[str, Mapping[str, int]] | None, missing: str | None
) -> None:
    found = missing_proof(providers, assignment)
    if missing is None:
        assert found is None
    else:
        with pytest.raises(Unusable, match=missing):
            raise Unusable(found or "nothing")


PRETEND_GPU = """
import nin_onnx.runtimes.backends.onnxruntime_cuda as cuda


class Fallen(cuda.OnnxRuntimeCuda):
    @classmethod
    def check(cls):
        pass
"""


@pytest.mark.skipif(has_gpu(), reason="CUDA may really run here")
def test_a_session_that_silently_fell_back_to_the_cpu_is_skipped_never_passed(
    tiny_model: Callable[..., Path], tiny_golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real thing: ONNX Runtime is asked for CUDA where there is none, and makes a session without an error."""
    from nin_onnx.runtimes import RUNTIMES

    (tmp_path / "fallen.py").write_text(PRETEND_GPU)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(RUNTIMES, "onnxruntime-cuda", "fallen:Fallen")
    report = evaluate(tiny_model(), EvalOptions(runtimes=["onnxruntime-cuda", "onnxruntime"]))
    assert [row.outcome for row in report.rows] == ["skipped", "pass"]
    assert report.rows[0].reason
    assert report.rows[0].reason.startswith(f"ONNX Runtime fell back to {CPU}")
    assert report.rows[0].install == "pip install 'nin-onnx[gpu]'"
    assert report.exit_status == 1


@pytest.mark.skipif(not has_gpu(), reason="no NVIDIA GPU")
def test_on_a_gpu_cuda_runs_every_convolution_in_fp32(tiny_model: Callable[..., Path]) -> None:
    (row,) = evaluate(tiny_model(), EvalOptions(runtimes=["onnxruntime-cuda"])).rows
    assert row.outcome == "pass"
    assert row.facts
    assert row.facts.precision == "fp32"
    assert row.facts.assignment
    assert row.facts.assignment[CUDA]["Conv"] == 1


def test_a_worker_imports_onnxruntime_without_its_telemetry(
    tiny_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reports to its makers first notes its session in a file in the folder for temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    report = evaluate(tiny_model(), EvalOptions(runtimes=["onnxruntime"]))
    assert report.rows[0].outcome == "pass"
    assert not (tmp_path / ".ses").exists()
