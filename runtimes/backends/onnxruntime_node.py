"""ONNX Runtime for Node: its CPU provider, and its WebAssembly build as it runs in Node."""

import json
import os
import shutil
from collections.abc import Mapping
from typing import Any, ClassVar

from numpy.typing import NDArray

from nin_onnx.runtimes.backends.base import Runtime, RuntimeInfo, Unusable
from nin_onnx.runtimes.backends.javascript_host import JAVASCRIPT, JavaScriptHost
from nin_onnx.runtimes.backends.npm import need_npm, place
from nin_onnx.runtimes.model import GraphInfo, ModelFile

__all__ = ["OnnxRuntimeNode", "OnnxRuntimeWeb"]


class OnnxRuntimeNode(Runtime):
    """One session in a Node process."""

    package = "onnxruntime-node"
    provider: ClassVar[str] = "cpu"
    edition: ClassVar[str] = "node"
    instructions: ClassVar[tuple[str, ...] | None] = None
    """What it computes with, where that is not what the processor has."""

    @classmethod
    def check(cls) -> None:
        need_npm(cls.package)

    @classmethod
    def installed(cls) -> str | None:
        manifest = place(cls.package) / "package.json"
        return str(json.loads(manifest.read_text(encoding="utf-8"))["version"]) if manifest.exists() else None

    @classmethod
    def accepts(cls, model: ModelFile) -> None:
        if model.external:
            raise Unusable("the model keeps weights in other files, and is handed over as one")

    def load(self, model: GraphInfo, threads: int) -> None:
        self._model = model
        self._host = JavaScriptHost(model.path, threads, {})
        command = [shutil.which("node") or "node", str(JAVASCRIPT / "node.mjs"), str(place(self.package)), self.provider]
        self._reported = self._host.start(command, os.environ | {"NIN_ONNX_HOME": self._host.home})

    def run(self, images: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        return self._host.run(images)

    def facts(self) -> RuntimeInfo:
        return RuntimeInfo(
            package=self.package,
            version=self._reported["versions"][self.edition],
            device="cpu",
            precision=self._model.precision,  # these providers compute in the types of the graph, and nothing else was asked for
            threads=self._reported.get("threads"),
            providers=(self._reported["provider"],),
            instructions=self.instructions,
            host=self._reported["host"],
            pace="the way to another program and back is part of the time",
        )


class OnnxRuntimeWeb(OnnxRuntimeNode):
    """The same of the package for web pages."""

    package = "onnxruntime-web"
    provider = "wasm"
    edition = "web"
    instructions = ("WebAssembly SIMD",)
