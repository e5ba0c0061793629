"""ONNX Runtime on its CPU provider, which each of its packages carries."""

from collections import Counter
from collections.abc import Mapping
from importlib import metadata
from typing import Any, ClassVar

from numpy.typing import NDArray

from nin_onnx.runtimes.backends.base import Runtime, RuntimeInfo, need
from nin_onnx.runtimes.model import GraphInfo

__all__ = ["OnnxRuntime", "clash", "packages"]

PACKAGES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-qnn")
"""All of them install the module `onnxruntime`."""


def packages() -> list[str]:
    """Those of `PACKAGES` that are installed."""
    found = []
    for package in PACKAGES:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        found.append(package)
    return found


def clash(found: list[str], extra: str) -> tuple[str, str] | None:
    """What is wrong with these packages side by side, and the command that leaves the one of `extra`; None of fewer than two.

    To uninstall one of them would not do: it takes files of the others along.
    """
    if len(found) < 2:
        return None
    names = " and ".join(f"'{package}'" for package in found)
    return (
        f"{names} carry the same module, and the one installed last wins",
        f"pip uninstall --yes {' '.join(found)} && pip install 'nin-onnx[{extra}]'",
    )


class OnnxRuntime(Runtime):
    """One session, asked for one provider."""

    package = "onnxruntime"
    provider: ClassVar[str] = "CPUExecutionProvider"
    options: ClassVar[dict[str, str]] = {}

    @classmethod
    def check(cls) -> None:
        need("onnxruntime", "cpu")

    def load(self, model: GraphInfo, threads: int) -> None:
        import onnxruntime

        onnxruntime.disable_telemetry_events()  # for Windows; elsewhere that would be too late, see process.py
        self._model = model
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        self._session = onnxruntime.InferenceSession(str(model.path), options, providers=[(self.provider, self.options)])
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, images: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        return dict(zip(self._outputs, self._session.run(self._outputs, {self._input: images}), strict=True))

    def facts(self) -> RuntimeInfo:
        import onnxruntime

        return RuntimeInfo(
            package=" + ".join(packages()) or None,
            version=onnxruntime.__version__,
            device="cpu",
            precision=self._model.precision,  # this provider computes in the types of the graph, and nothing else was asked for
            threads=self._session.get_session_options().intra_op_num_threads,
            providers=tuple(self._session.get_providers()),
            assignment=self.assignment(),
        )

    def assignment(self) -> dict[str, dict[str, int]] | None:
        """For each provider the operators that the session gave it; None from a version that does not tell."""
        if not hasattr(self._session, "get_provider_graph_assignment_info"):
            return None
        counts: dict[str, Counter[str]] = {}
        for part in self._session.get_provider_graph_assignment_info():
            counts.setdefault(part.ep_name, Counter()).update(node.op_type for node in part.get_nodes())
        return {provider: dict(sorted(operators.items())) for provider, operators in counts.items()}
