"""Pass: onnxsim's constant folding and fusions, checked on the golden images."""

import contextlib
import io
import os

import onnx

from nin_onnx.export.difference import TOLERANCE
from nin_onnx.export.passes.check_golden import WrongAnswerError
from nin_onnx.golden import Golden

__all__ = ["simplify"]


def simplify(model: onnx.ModelProto, golden: Golden) -> onnx.ModelProto:
    """Let onnxsim rewrite `model`, and compare both on the golden images; raises `ExportError`.

    onnxsim's own check casts random numbers in [0, 1) to the input's type: for uint8 that is a black image and nothing else.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxsim imports ONNX Runtime, which reports its use to its makers
    import onnxsim

    rounding = TOLERANCE * max(golden.scale(name) for name in golden.outputs)  # its own 1e-5 suits values near 1
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        simplified, same = onnxsim.simplify(
            model, check_n=1, input_data={"images": golden.images}, check_atol=rounding, certify=False
        )
    assert isinstance(simplified, onnx.ModelProto)
    if not same:
        raise WrongAnswerError("onnxsim changed what the graph answers to the golden images", simplified, slice(None))
    return simplified
