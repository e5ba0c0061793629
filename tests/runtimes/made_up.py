"""Made-up runtimes, each with one fault, for tests to put into the registry; every process notes its id in a file."""

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnx.numpy_helper
from numpy.typing import NDArray

from nin_onnx.runtimes.backends.base import RuntimeInfo, Unusable
from nin_onnx.runtimes.backends.onnxruntime_node import OnnxRuntimeWeb
from nin_onnx.runtimes.backends.openvino import OpenVino, OpenVinoBf16
from nin_onnx.runtimes.backends.reference import Reference
from nin_onnx.runtimes.model import GraphInfo

IDS = "MADE_UP_IDS"
"""Environment variable with the path of that file."""

Outputs = Mapping[str, NDArray[Any]]


def note(process: int) -> None:
    with Path(os.environ[IDS]).open("a", encoding="utf-8") as file:
        file.write(f"{process}\n")


def start_child() -> None:
    note(subprocess.Popen(["sleep", "600"]).pid)


class Healthy(Reference):
    def __init__(self) -> None:
        note(os.getpid())


class Aborts(Healthy):
    def run(self, images: NDArray[Any]) -> Outputs:
        print("cannot allocate the thing", flush=True)  # noqa: T201
        os.abort()


class Segfaults(Healthy):
    def run(self, images: NDArray[Any]) -> Outputs:
        ctypes.string_at(0)
        return super().run(images)


class Hangs(Healthy):
    def load(self, model: GraphInfo, threads: int) -> None:
        start_child()
        time.sleep(600)


class LeavesChild(Healthy):
    def load(self, model: GraphInfo, threads: int) -> None:
        start_child()
        super().load(model, threads)


class RaisesOnLoad(Healthy):
    def load(self, model: GraphInfo, threads: int) -> None:
        raise RuntimeError("no such operator: NonMaxSuppression\nat line 1")


class Old(Healthy):
    def load(self, model: GraphInfo, threads: int) -> None:
        opset = onnx.load(model.path).opset_import[0].version
        raise RuntimeError(f"opset {opset} is too new, at most 9 is known")


class NamesTheModel(Healthy):
    def load(self, model: GraphInfo, threads: int) -> None:
        raise OSError(f"cannot load {model.path}")


class RaisesOnRun(Healthy):
    def run(self, images: NDArray[Any]) -> Outputs:
        raise ZeroDivisionError


class ExitsSilently(Healthy):
    def run(self, images: NDArray[Any]) -> Outputs:
        os._exit(0)


class ExitsWithStatus(Healthy):
    def run(self, images: NDArray[Any]) -> Outputs:
        sys.exit("out of licenses")


class CannotBeMade(Healthy):
    def __init__(self) -> None:
        super().__init__()
        raise ImportError("libfancy.so.1: cannot open shared object file")


class WritesRubbish(Healthy):
    text = "{rubbish"

    def run(self, images: NDArray[Any]) -> Outputs:
        Path("result.json").write_text(self.text, encoding="utf-8")
        os._exit(0)


class WritesLittle(WritesRubbish):
    text = '{"outcome": "done", "reason": null, "install": null, "facts": null, "feeds": {}}'


class WritesAPickle(WritesRubbish):
    text = (
        '{"outcome": "done", "reason": null, "install": null, "facts": null, '
        '"feeds": {"golden": {"files": {"logits": "a.npy"}, "batches": [[1, 1]]}}}'
    )

    def run(self, images: NDArray[Any]) -> Outputs:
        np.save("a.npy", np.array([{}], object), allow_pickle=True)
        return super().run(images)


class GivesNaN(Healthy):
    def run(self, images: NDArray[Any]) -> Outputs:
        return {name: array * np.float32(np.nan) for name, array in super().run(images).items()}


class GivesWrongShape(Healthy):
    def run(self, images: NDArray[Any]) -> Outputs:
        outputs = super().run(images)
        return {**outputs, "logits": outputs["logits"][:, 1:]}


class GivesOneRow(Healthy):
    def run(self, images: NDArray[Any]) -> Outputs:
        outputs = super().run(images)
        return {**outputs, "logits": outputs["logits"][:1]}


class GivesNothing(Healthy):
    def run(self, images: NDArray[Any]) -> Outputs:
        return {}


class GivesText(Healthy):
    def run(self, images: NDArray[Any]) -> Outputs:
        return {name: array.astype(str) for name, array in super().run(images).items()}


class DependsOnItsNeighbors(Healthy):
    def run(self, images: NDArray[Any]) -> Outputs:
        outputs = {name: array.copy() for name, array in super().run(images).items()}
        outputs["logits"][0] += np.float32(4e-6 * (images[1 % len(images)].mean() - 100) / 100)  # within the tolerance itself
        return outputs


class WrongInLargeBatches(Healthy):
    def run(self, images: NDArray[Any]) -> Outputs:
        outputs = {name: array.copy() for name, array in super().run(images).items()}
        outputs["logits"][20:] += 0.01
        return outputs


class ForgetsItself(Healthy):
    calls = 0

    def run(self, images: NDArray[Any]) -> Outputs:
        outputs = {name: array.copy() for name, array in super().run(images).items()}
        self.calls += 1
        outputs["logits"] += np.float32(1e-7 * self.calls)
        return outputs


class PrintsRubbish(Healthy):
    def run(self, images: NDArray[Any]) -> Outputs:
        for stream in (sys.stdout, sys.stderr):
            stream.buffer.write(b'\x00\xff{"outcome": "skipped"}\n' * 1_000)
            stream.flush()
        return super().run(images)


class AllocatesUntilRefused(Healthy):
    """Where the system lets it have a little more than it has, as `ulimit -v` or a container's limit may."""

    def run(self, images: NDArray[Any]) -> Outputs:
        import resource

        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + 200_000_000,) * 2)
        self.blocks = []
        while True:
            self.blocks.append(b"x" * 10_000_000)


class AllocatesUntilKilled(Healthy):
    """In the control group, whose memory is limited, that the variable MADE_UP_GROUP names."""

    def run(self, images: NDArray[Any]) -> Outputs:
        Path(os.environ["MADE_UP_GROUP"], "cgroup.procs").write_text(str(os.getpid()))
        self.blocks = []
        while True:
            self.blocks.append(b"x" * 10_000_000)


class HoldsMuchMemory(Healthy):
    def load(self, model: GraphInfo, threads: int) -> None:
        super().load(model, threads)
        code = "import sys; block = b'x' * 400_000_000; print(flush=True); sys.stdin.read()"
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        note(child.pid)
        self.child = child
        assert child.stdout
        child.stdout.readline()


class ServesNoModel(OnnxRuntimeWeb):
    def load(self, model: GraphInfo, threads: int) -> None:
        broken = Path("broken.onnx").absolute()
        broken.write_bytes(b"no protobuf at all")
        super().load(replace(model, path=broken), threads)


class WrongInOneRow(Healthy):
    def run(self, images: NDArray[Any]) -> Outputs:
        outputs = {name: array.copy() for name, array in super().run(images).items()}
        outputs["logits"][-1, 0] += 0.01
        return outputs


class UsesItsMemoryAgain(Healthy):
    def __init__(self) -> None:
        super().__init__()
        self.memory = {name: np.zeros(10_000, np.float32) for name in ("logits", "probabilities", "class_maps")}

    def run(self, images: NDArray[Any]) -> Outputs:
        outputs = super().run(images)
        for name, array in outputs.items():
            self.memory[name][: array.size] = array.ravel()
        return {name: self.memory[name][: array.size].reshape(array.shape) for name, array in outputs.items()}


class IsNotWhatWasAskedFor(Healthy):
    def load(self, model: GraphInfo, threads: int) -> None:
        raise Unusable("fell back to an abacus", "pip install abacus-gpu")


class HoldsNoPackage(Healthy):
    @classmethod
    def check(cls) -> None:
        raise Unusable("the package 'fancy' is not installed", "pip install fancy")


class TellsNothing(Healthy):
    def facts(self) -> RuntimeInfo:
        return RuntimeInfo()


class TellsRoughly(WrongInOneRow):
    def facts(self) -> RuntimeInfo:
        return RuntimeInfo(precision="bf16")


class ChangesLabels(Healthy):
    """On the data set its logits say the last class for every seventh image; on the golden vectors it is right."""

    seen = 0

    def run(self, images: NDArray[Any]) -> Outputs:
        outputs = {name: array.copy() for name, array in super().run(images).items()}
        if len(images) > 32:  # the data set comes in larger batches than all else
            rows = np.arange(self.seen, self.seen + len(images)) % 7 == 0
            outputs["logits"][rows, -1] = 1e6
            self.seen += len(images)
        return outputs


class ChangesLabelsInBf16(ChangesLabels):
    def facts(self) -> RuntimeInfo:
        return RuntimeInfo(precision="bf16")


class NotesItsRuns(Healthy):
    """When each began and ended, by the clock that all processes of the machine share, and how many images it had."""

    def run(self, images: NDArray[Any]) -> Outputs:
        start = time.monotonic()
        outputs = super().run(images)
        with Path(f"{os.environ[IDS]}-runs").open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {start} {time.monotonic()} {len(images)}\n")
        return outputs


class NotesItsRunsToo(NotesItsRuns):
    pass


class SleepsTenMilliseconds(Healthy):
    """For each image of a batch, beside what it takes."""

    def run(self, images: NDArray[Any]) -> Outputs:
        time.sleep(0.01 * len(images))
        return super().run(images)


class FallsWhenTimed(Healthy):
    """In the batch of 128, which comes when it is timed alone."""

    def run(self, images: NDArray[Any]) -> Outputs:
        if len(images) == 128:
            self.fall()
        return super().run(images)

    def fall(self) -> None:
        raise NotImplementedError


class SegfaultsWhenTimed(FallsWhenTimed):
    def fall(self) -> None:
        ctypes.string_at(0)


class RaisesWhenTimed(FallsWhenTimed):
    def fall(self) -> None:
        raise RuntimeError("no batch above 32")


class ExitsWhenTimed(FallsWhenTimed):
    def fall(self) -> None:
        os._exit(0)


class WritesRubbishWhenTimed(FallsWhenTimed):
    def fall(self) -> None:
        Path("turn-0").mkdir()
        Path("turn-0", "result.json").write_text("{rubbish", encoding="utf-8")
        time.sleep(600)


class HangsWhenTimed(FallsWhenTimed):
    def fall(self) -> None:
        start_child()
        time.sleep(600)


class CompilesToF32(OpenVinoBf16):
    def computed_in(self) -> set[str]:
        return {"f32"}


class CompilesToBf16(OpenVino):
    def computed_in(self) -> set[str]:
        return {"bf16"}


class CompilesInPartToBf16(OpenVino):
    def computed_in(self) -> set[str]:
        return {"f32", "bf16"}


class EmulatesBf16(Healthy):
    """Weights rounded to the 8 significant bits of bfloat16, as OpenVINO has them on processors that multiply in it."""

    def load(self, model: GraphInfo, threads: int) -> None:
        graph = onnx.load(model.path)
        for tensor in graph.graph.initializer:
            value = onnx.numpy_helper.to_array(tensor).astype(ml_dtypes.bfloat16).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
        onnx.save(graph, "bf16.onnx")
        super().load(replace(model, path=Path("bf16.onnx")), threads)

    def facts(self) -> RuntimeInfo:
        return replace(super().facts(), precision="bf16")
