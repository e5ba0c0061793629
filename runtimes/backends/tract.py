"""tract, an inference engine in Rust."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from nin_onnx.runtimes.backends.base import Runtime, RuntimeInfo, Unusable, need
from nin_onnx.runtimes.model import GraphInfo, ModelFile

__all__ = ["Tract"]

PRECISIONS = {"F32": "fp32", "F16": "fp16"}


class Tract(Runtime):
    """One plan, optimized by tract; its own profile of it tells the type of every multiply-add."""

    package = "tract"

    @classmethod
    def check(cls) -> None:
        need("tract", "runtimes")

    @classmethod
    def accepts(cls, model: ModelFile) -> None:
        if model.precision == "fp16":
            raise Unusable("tract takes more than a second an image in half precision where the processor has none")

    def load(self, model: GraphInfo, threads: int) -> None:
        del threads  # its Python interface has no say in them
        import tract

        self._outputs = model.outputs  # its own are those of the optimized plan
        self._plan = tract.onnx().load(model.path).into_model().into_runnable()

    def run(self, images: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        self._last = images
        return {name: tensor.to_numpy() for name, tensor in zip(self._outputs, self._plan.run([images]), strict=True)}

    def facts(self) -> RuntimeInfo:
        import tract

        nodes = json.loads(self._plan.profile_json([self._last]))["nodes"]
        types = {
            cost.removeprefix("FMA(").rstrip(")") for node in nodes for cost in node.get("cost", {}) if cost.startswith("FMA(")
        }
        return RuntimeInfo(
            package=self.package,
            version=tract.version(),
            device="cpu",
            precision=PRECISIONS.get(types.pop()) if len(types) == 1 else None,
            assignment={"tract": dict(sorted(Counter(node["op_name"] for node in nodes if node["op_name"] != "Const").items()))},
        )
