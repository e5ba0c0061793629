"""Pass: stores large matrices in half precision if all of their numbers are half-precision numbers.

1. w (float32, 2^16 numbers or more, each one of half precision)  →  Cast(w in float16): the same numbers in half the bytes

That is the ZCA matrix, which is rounded when it is fitted: 18.9 MB instead of 37.7. No pass that folds constants may come
after: it would cast it back.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nin_onnx.export.passes.pass_result import PassResult
from nin_onnx.graph import replace_nodes

__all__ = ["fp16_initializers"]

LARGE = 1 << 16


def fp16_initializers(model: onnx.ModelProto) -> PassResult:
    """Halve what can be halved without loss."""
    graph = model.graph
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims, dtype=int) < LARGE:
            continue
        exact = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = exact.astype(np.float16)
        if np.array_equal(half.astype(np.float32), exact):
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_half"))
            casts.append(helper.make_node("Cast", [tensor.name], [name], f"{name}_cast", to=TensorProto.FLOAT))
    if casts:
        replace_nodes(graph, [*casts, *graph.node])
    return PassResult(model, bool(casts))
