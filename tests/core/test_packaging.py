"""What is installed is what lies in the folders: wheel, source archive, and a checkout that is not installed."""

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STAGES = ("train", "export", "runtimes")

pytestmark = pytest.mark.skipif(not (ROOT / "nin_onnx" / "train").is_symlink(), reason="needs a checkout with its links")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what packaging reads, so that building leaves nothing behind."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("nin_onnx", *STAGES):
        shutil.copytree(ROOT / name, copy / name, symlinks=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", checkout, tmp_path_factory.mktemp("wheel"))


def build(kind: str, source: Path, target: Path) -> Path:
    """The wheel or sdist of `source`, by the build back end itself, without isolation or network."""
    code = f"from setuptools import build_meta; build_meta.build_{kind}({str(target)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (archive,) = target.iterdir()
    return archive


def files(folder: Path) -> Iterator[str]:
    """Every file below `folder`, links not followed, without what Python compiled there."""
    for path in folder.iterdir():
        if path.is_symlink() or path.name == "__pycache__":
            continue
        if path.is_dir():
            yield from (f"{path.name}/{file}" for file in files(path))
        else:
            yield path.name


def contents(wheel: Path) -> set[str]:
    """What the wheel installs, but for its metadata."""
    return {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_every_file_of_the_four_folders_and_nothing_else(checkout: Path, wheel: Path) -> None:
    expected = {f"nin_onnx/{file}" for file in files(checkout / "nin_onnx")}
    expected |= {f"nin_onnx/{stage}/{file}" for stage in STAGES for file in files(checkout / stage)}
    assert contents(wheel) == expected


def test_a_wheel_made_from_the_source_archive_is_the_same(checkout: Path, wheel: Path, tmp_path: Path) -> None:
    archive = build("sdist", checkout, tmp_path)
    with tarfile.open(archive) as packed:
        assert not [member.name for member in packed if member.issym()], "shipping must not rely on links"
    subprocess.run([sys.executable, "-m", "tarfile", "--extract", archive, tmp_path / "source"], check=True)
    (source,) = (tmp_path / "source").iterdir()
    (tmp_path / "again").mkdir()
    again = build("wheel", source, tmp_path / "again")
    assert contents(again) == contents(wheel)
    assert again.name == wheel.name


@pytest.mark.parametrize("installed", [True, False], ids=["the wheel, unpacked", "the checkout, not installed"])
def test_every_stage_is_imported_from_where_it_was_put(installed: bool, checkout: Path, wheel: Path, tmp_path: Path) -> None:
    place = checkout
    if installed:
        place = tmp_path
        zipfile.ZipFile(wheel).extractall(place)
    names = ["nin_onnx", *(f"nin_onnx.{stage}" for stage in STAGES)]
    code = f"import importlib; [print(importlib.import_module(name).__file__) for name in {names}]"
    found = subprocess.run([sys.executable, "-c", code], cwd=place, check=True, capture_output=True, text=True).stdout.split()
    assert found == [str(place / name.replace(".", "/") / "__init__.py") for name in names]
    usage = subprocess.run([sys.executable, "-m", "nin_onnx", "--help"], cwd=place, check=True, capture_output=True, text=True)
    assert usage.stdout.startswith("Usage: nin-onnx")


def test_the_wheel_names_version_license_and_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (folder,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
    metadata = archive.read(f"{folder}/METADATA").decode()
    version = re.search(r'__version__ = "(.+?)"', (ROOT / "nin_onnx" / "__init__.py").read_text())
    assert version is not None
    assert f"\nVersion: {version[1]}\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert archive.read(f"{folder}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert archive.read(f"{folder}/entry_points.txt").decode().split() == [
        "[console_scripts]",
        "nin-onnx",
        "=",
        "nin_onnx.cli:main",
    ]


def brought_along(requirements: list[str]) -> set[str]:
    """The packages that installing `requirements` brings, as far as they are installed here."""
    found: set[str] = set()
    waiting = [(Requirement(line), "") for line in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        if name in found and not requirement.extras:
            continue
        found.add(name)
        try:
            lines = requires(name) or []
        except PackageNotFoundError:
            continue
        waiting += [(Requirement(line), extra) for line in lines for extra in ("", *requirement.extras)]
    return found


@pytest.mark.parametrize("extra", sorted(PROJECT["optional-dependencies"].keys() - {"cpu", "gpu"}))
def test_an_extra_that_is_not_about_onnx_runtime_does_not_bring_it(extra: str) -> None:
    packages = brought_along(PROJECT["dependencies"] + PROJECT["optional-dependencies"][extra])
    assert "onnx" in packages
    assert not {name for name in packages if name.startswith("onnxruntime")}


def test_every_package_that_development_installs_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {canonicalize_name(line.split("==")[0]) for line in lines if "==" in line and not line.startswith("#")}
    extras = ("cpu", "train", "demo", "plot", "runtimes", "test")
    named = [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    needed = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"] + named}
    assert needed - pins == {"triton"}  # torch for NVIDIA GPUs asks for one version of it, torch for CPUs for none
