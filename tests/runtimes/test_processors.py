"""The golden images of each model in 8 bits on real kernels of processors that this machine may not have, by qemu.

x86 with AVX2 and without VNNI, on which weights of 8 bits saturate; x86 with SSE alone; and Arm. A graph with such weights, as
they were before they had 7 bits, fails on the first of them only.
"""

import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from quantized_graphs import shipped, widened

from nin_onnx import models
from nin_onnx.eight_bits.emulation import Emulator
from nin_onnx.golden import Golden, read_golden
from nin_onnx.precision import PRECISIONS
from nin_onnx.runtimes.parity import Parity, compare

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy, onnxruntime
from nin_onnx.machine import instructions
print(*instructions(), sep=", ")
for path in sys.argv[2:]:
    session = onnxruntime.InferenceSession(path + ".onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    numpy.savez(path + ".npz", **dict(zip(names, session.run(names, {"images": numpy.load(path + ".npy")}))))
"""
QEMU = {"Haswell": "qemu-x86_64", "Nehalem": "qemu-x86_64", "Cortex-A72": "qemu-aarch64"}
HAS = {"Haswell": "AVX2", "Nehalem": "", "Cortex-A72": "NEON"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=QEMU)
def processor(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if shutil.which(QEMU[name]) is None:
        pytest.skip(f"no {QEMU[name]}: apt-get install qemu-user")
    if QEMU[name] == "qemu-x86_64" and platform.machine() != "x86_64":
        pytest.skip("no x86-64 processor, whose Python could run as an older one")
    return name


@pytest.fixture(scope="module")
def python(processor: str, request: pytest.FixtureRequest) -> list[str]:
    """A Python with ONNX Runtime that runs as `processor`."""
    if QEMU[processor] == "qemu-x86_64":
        return ["qemu-x86_64", "-cpu", processor, sys.executable]
    if shutil.which("apt-get") is None:
        pytest.skip("no apt-get to bring a Python for Arm")
    folder = request.config.cache.mkdir("arm").absolute()
    subprocess.run(["bash", str(Path(__file__).with_name("arm_python.sh")), str(folder), sys.executable], check=True)
    return [str(folder / "python")]


@pytest.fixture(scope="module")
def answers(
    processor: str, python: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Mapping[str, Mapping[str, NDArray[Any]]]]:
    """The instruction sets that it says it has, and what each graph gives for its golden images."""
    folder = tmp_path_factory.mktemp(processor)
    paths = []
    for name in models.shipped():
        for kind, graph in (("shipped", shipped(name)), ("widened", widened(name))):
            paths.append(str(folder / f"{kind} {name}"))
            onnx.save(graph, f"{paths[-1]}.onnx")
            np.save(f"{paths[-1]}.npy", golden(name).images)
    done = subprocess.run([*python, "-c", SCRIPT, str(ROOT), *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), {Path(path).name: dict(np.load(f"{path}.npz")) for path in paths}


def golden(name: str) -> Golden:
    found = read_golden(models.FOLDER / name / "int8")
    assert found
    return replace(found, places=PRECISIONS["int8"].places)


def judged(found: Mapping[str, NDArray[Any]], expected: Golden) -> Parity:
    return compare(found, expected, PRECISIONS["int8"].tolerance)


def test_a_process_says_which_instruction_sets_it_has_whatever_the_host_has(processor: str, answers: tuple[str, Any]) -> None:
    assert answers[0] == HAS[processor]


@pytest.mark.parametrize("name", models.shipped())
def test_a_shipped_model_gives_its_golden_answers(name: str, answers: tuple[str, Any]) -> None:
    assert judged(answers[1][f"shipped {name}"], golden(name)).problem is None


@pytest.mark.parametrize("name", models.shipped())
def test_weights_of_8_bits_are_wrong_with_avx2_alone_and_by_as_much_as_the_emulation_says(
    name: str, processor: str, answers: tuple[str, Any]
) -> None:
    given = golden(name)
    found, graph = answers[1][f"widened {name}"], widened(name)
    saturating, exact = (
        replace(given, outputs=Emulator(graph, saturating=which).run({"images": given.images})) for which in (True, False)
    )
    like, unlike = (saturating, exact) if processor == "Haswell" else (exact, saturating)
    assert judged(found, like).problem is None
    assert (judged(found, unlike).worst or 0) > 10 * PRECISIONS["int8"].tolerance
