"""PyTorch: the trained network itself, from the checkpoint beside the model, in float32 on the CPU."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nin_onnx.runtimes.backends.base import Runtime, RuntimeInfo, Unusable, need
from nin_onnx.runtimes.model import GraphInfo, ModelFile

__all__ = ["PyTorch"]


class PyTorch(Runtime):
    """Runs `model.safetensors`, of which `model.onnx` was exported."""

    package = "torch"

    @classmethod
    def check(cls) -> None:
        need("torch", "train")
        need("safetensors", "train")

    @classmethod
    def accepts(cls, model: ModelFile) -> None:
        weights = _weights(model.path)
        if model.card is None:
            raise Unusable("the model has no card that names its checkpoint")
        if not weights.exists():
            raise Unusable(f"no checkpoint '{weights.name}' beside the model")
        if hashlib.sha256(weights.read_bytes()).hexdigest() != model.card.weights:
            raise Unusable(f"the model was not exported from the '{weights.name}' beside it: the card has another SHA-256")

    def load(self, model: GraphInfo, threads: int) -> None:
        import torch

        from nin_onnx.train.checkpoint import load_classifier

        torch.set_num_threads(threads)
        self._classifier, _ = load_classifier(_weights(model.path))

    def run(self, images: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        import torch

        with torch.inference_mode():
            outputs = self._classifier(torch.from_numpy(images))
        return {name: tensor.numpy() for name, tensor in outputs._asdict().items()}

    def facts(self) -> RuntimeInfo:
        import torch

        exact = all(weight.dtype == torch.float32 for weight in self._classifier.parameters())
        exact = exact and torch.get_float32_matmul_precision() == "highest"  # "medium" is bfloat16 on some processors
        return RuntimeInfo(
            package=self.package,
            version=torch.__version__,
            device="cpu",
            precision="fp32" if exact else None,
            threads=torch.get_num_threads(),
        )


def _weights(model: Path) -> Path:
    return model.with_suffix(".safetensors")
