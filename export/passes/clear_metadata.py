"""Pass: removes what torch and onnxsim note down about the machine and about themselves.

1. Documentation and metadata of model, graph, nodes and values: among them stack traces with local paths, and onnxsim's keys.
2. Producer, and the IR version that old runtimes load.
"""

from collections.abc import Iterable
from typing import Any

import onnx

from nin_onnx import __version__
from nin_onnx.export.passes.pass_result import PassResult

__all__ = ["IR_VERSION", "clear_metadata"]

IR_VERSION = 8


def clear_metadata(model: onnx.ModelProto) -> PassResult:
    """Leave only what a runtime computes with."""
    before = model.SerializeToString(deterministic=True)
    graph = model.graph
    parts: Iterable[Any] = (
        model,
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
    model.ir_version = IR_VERSION
    model.producer_name = "nin-onnx"
    model.producer_version = __version__
    return PassResult(model, model.SerializeToString(deterministic=True) != before)
