"""Train Network in Network in PyTorch, ship it as one self-describing ONNX file, and prove that every runtime agrees."""

from typing import TYPE_CHECKING, Any

from nin_onnx.errors import NinOnnxError

if TYPE_CHECKING:
    from nin_onnx.classifier import Classifier

__all__ = ["Classifier", "NinOnnxError", "__version__"]

__version__ = "0.1.0"  # the one place: packaging reads it here, and a checkout tells its own, not that of an installed copy


def __getattr__(name: str) -> Any:
    """`Classifier` when it is first asked for: it brings NumPy, which not every command needs."""
    if name == "Classifier":
        from nin_onnx.classifier import Classifier

        return Classifier
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
