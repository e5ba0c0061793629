"""Train Network in Network in PyTorch, ship it as one self-describing ONNX file, and prove that every runtime agrees."""

from nin_onnx.errors import NinOnnxError

__all__ = ["NinOnnxError", "__version__"]

__version__ = "0.1.0"  # the one place: packaging reads it here, and a checkout tells its own, not that of an installed copy
