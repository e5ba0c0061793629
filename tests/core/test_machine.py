"""What a result was obtained with: against what the machine and git say themselves."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

import nin_onnx
from nin_onnx import machine


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git checkout with one commit, in which `machine` believes to lie."""
    for variable in [name for name in os.environ if name.startswith("GIT_")]:  # a hook's, for example
        monkeypatch.delenv(variable)
    (tmp_path / "nin_onnx").mkdir()
    (tmp_path / "nin_onnx" / "machine.py").write_text("committed")
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "nin_onnx" / "machine.py"))
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "commit", "--quiet", "-m", "first")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_a_clean_checkout_is_named_by_its_commit(checkout: Path) -> None:
    assert machine.commit() == git(checkout, "rev-parse", "HEAD")[:12]


def test_a_tag_does_not_take_the_commits_place(checkout: Path) -> None:
    git(checkout, "-c", "user.name=a", "-c", "user.email=a@b", "-c", "tag.gpgsign=false", "tag", "-a", "v1", "-m", "v1")
    assert machine.commit() == git(checkout, "rev-parse", "HEAD")[:12]


def test_a_changed_file_makes_it_dirty_and_an_untracked_one_does_not(checkout: Path) -> None:
    (checkout / "runs").mkdir()
    (checkout / "runs" / "model").write_text("x")
    assert machine.commit() == git(checkout, "rev-parse", "HEAD")[:12]
    (checkout / "nin_onnx" / "machine.py").write_text("changed")
    assert machine.commit() == git(checkout, "rev-parse", "HEAD")[:12] + "-dirty"


def test_outside_a_checkout_of_its_own_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed into an environment that lies in somebody's checkout, theirs is not ours."""
    monkeypatch.setattr(machine, "__file__", str(checkout / "venv" / "nin_onnx" / "machine.py"))
    assert machine.commit() is None


def test_without_git_or_without_commits_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(checkout, "update-ref", "-d", "HEAD")
    assert machine.commit() is None
    monkeypatch.setenv("PATH", "")
    assert machine.commit() is None


def test_versions_are_those_installed_and_what_is_absent_is_left_out() -> None:
    assert machine.versions(["numpy", "no-such-package"]) == {
        "nin-onnx": nin_onnx.__version__,
        "python": platform.python_version(),
        "numpy": metadata.version("numpy"),
    }


def test_hardware_is_this_machines() -> None:
    found = machine.hardware()
    assert found.keys() == {"processor", "cores", "system", "architecture"}
    assert (found["system"], found["architecture"]) == (platform.system(), platform.machine())
    assert isinstance(found["cores"], int)
    assert 1 <= found["cores"] <= (os.cpu_count() or 1)
    assert found["processor"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no choice of cores on this system")
def test_cores_are_those_that_this_process_may_use() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert machine.hardware()["cores"] == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("features", "words", "expected"),
    [
        ("AVX2 AVX512F AVX512VNNI VAES", "avx2 avx512f avx512_vnni", ("AVX2", "AVX-512", "VNNI")),
        ("AVX2 AVX512F VAES", "avx_vnni amx_bf16 amx_int8", ("AVX2", "AVX-512", "AVX-VNNI", "AMX (bfloat16)", "AMX (int8)")),
        ("AVX2", "avx2 avx512f avx512_vnni avx_vnni amx_int8 amx_bf16 vaes", ("AVX2",)),  # emulated on a host that has more
        ("ASIMD ASIMDDP SVE", "i8mm", ("NEON", "NEON dotprod", "NEON i8mm", "SVE")),
        ("ASIMD", "asimddp i8mm", ("NEON",)),
        ("SSE2", "", ()),
    ],
)
def test_instruction_sets_are_what_the_processor_says_and_no_more(
    features: str, words: str, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags : {words}\n")
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    all_ = {word: word in features.split() for word, _ in machine.INSTRUCTIONS.values()}
    monkeypatch.setattr(machine, "_numpy_features", lambda: all_)
    assert machine.instructions() == expected


@pytest.mark.parametrize(
    ("features", "words", "expected"),
    [
        ({"AVX2": True, "AVX512F": False}, "avx2 avx_vnni vaes", ("AVX2", "AVX-VNNI")),  # Alder Lake
        ({"AVX2": True, "AVX512F": True, "AVX512VNNI": True}, "avx512_bf16", ("AVX2", "AVX-512", "VNNI", "AVX512-BF16")),
        ({"AVX2": True, "AVX512F": False}, "avx2", ("AVX2",)),
        ({}, "avx2 avx_vnni avx512_bf16", ()),
    ],
)
def test_what_an_older_numpy_has_no_word_for_is_what_linux_says(
    features: dict[str, bool], words: str, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags : {words}\n")
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine, "_numpy_features", lambda: features)
    assert machine.instructions() == expected


@pytest.mark.skipif(not machine.CPUINFO.exists(), reason="no /proc/cpuinfo")
def test_they_are_those_that_linux_knows_of() -> None:
    words = set(machine.CPUINFO.read_text().split())
    known = {"AVX2": "avx2", "AVX-512": "avx512f", "VNNI": "avx512_vnni", "AVX512-BF16": "avx512_bf16", "NEON dotprod": "asimddp"}
    assert {name for name in machine.instructions() if name in known} == {name for name, word in known.items() if word in words}
