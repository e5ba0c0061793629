"""Pass: onnxsim's constant folding and fusions."""

import contextlib
import io
import os

import onnx

from nin_onnx.export.passes.pass_result import PassResult

__all__ = ["simplify"]


def simplify(model: onnx.ModelProto) -> PassResult:
    """Let onnxsim rewrite `model`.

    Its own check is off: for an input of uint8 it casts random numbers in [0, 1), which is a black image and nothing else. The
    golden check, after the last pass, sees what it would miss.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxsim imports ONNX Runtime, which reports its use to its makers
    import onnxsim

    before = model.SerializeToString(deterministic=True)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        simplified, _ = onnxsim.simplify(model, check_n=0, certify=False)
    assert isinstance(simplified, onnx.ModelProto)
    return PassResult(simplified, simplified.SerializeToString(deterministic=True) != before)
