"""Pass: an average over no padding need not say whether it counts padding, which some runtimes then do wrongly.

1. AveragePool(x, pads=0, count_include_pad=1)  →  AveragePool(x, pads=0): the same numbers; in ceil mode several runtimes
   count what lies past the border all the same.
"""

import onnx

from nin_onnx.export.passes.pass_result import PassResult
from nin_onnx.graph import attributes, replace_all

__all__ = ["average_pool"]


def average_pool(model: onnx.ModelProto) -> PassResult:
    """Leave count_include_pad out of every average over no padding."""
    changed = False
    for node in model.graph.node:
        if node.op_type == "AveragePool" and "count_include_pad" in attributes(node) and not _is_padded(node):
            replace_all(node.attribute, [one for one in node.attribute if one.name != "count_include_pad"])
            changed = True
    return PassResult(model, changed)


def _is_padded(node: onnx.NodeProto) -> bool:
    settings = attributes(node)
    return settings.get("auto_pad", b"NOTSET").startswith(b"SAME") or any(settings.get("pads", ()))
