"""Pass: what torch and onnxsim note down about the machine and about themselves goes.

1. Documentation and metadata of model, graph, nodes and values: among them stack traces with local paths, and onnxsim's keys.
2. Producer, and the IR version that old runtimes load.
"""

from collections.abc import Iterable
from typing import Any

import onnx

from nin_onnx import __version__
from nin_onnx.golden import Golden

__all__ = ["IR_VERSION", "strip"]

IR_VERSION = 8


def strip(model: onnx.ModelProto, golden: Golden) -> onnx.ModelProto:
    """Leave only what a runtime computes with."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    parts: Iterable[Any] = (
        result,
        graph,
        *graph.node,
        *graph.initializer,
        *graph.value_info,
        *graph.input,
        *graph.output,
    )
    for part in parts:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    for node in graph.node:
        for attribute in node.attribute:
            attribute.ClearField("doc_string")
    result.ir_version = IR_VERSION
    result.producer_name = "nin-onnx"
    result.producer_version = __version__
    return result
