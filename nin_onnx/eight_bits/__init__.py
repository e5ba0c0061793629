"""Products of 8-bit numbers: where a graph has them, whether their sums can leave 16 bits, and the error if they do."""

from nin_onnx.eight_bits.bound import HIGHEST, LOWEST, Bound, bounds

__all__ = ["HIGHEST", "LOWEST", "Bound", "bounds"]
