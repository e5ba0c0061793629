"""Pass: an average over no padding need not say whether it counts padding, which some runtimes then do wrongly.

1. AveragePool(x, pads=0, count_include_pad=1)  →  AveragePool(x, pads=0): the same numbers; in ceil mode several runtimes
   count what lies past the border all the same.
"""

import onnx

from nin_onnx.golden import Golden

__all__ = ["average_pool"]


def average_pool(model: onnx.ModelProto, golden: Golden) -> onnx.ModelProto:
    """Leave count_include_pad out wherever there is no padding."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for node in result.graph.node:
        if node.op_type == "AveragePool" and not _is_padded(node):
            kept = [attribute for attribute in node.attribute if attribute.name != "count_include_pad"]
            del node.attribute[:]
            node.attribute.extend(kept)
    return result


def _is_padded(node: onnx.NodeProto) -> bool:
    attributes = {attribute.name: attribute for attribute in node.attribute}
    automatic = attributes["auto_pad"].s if "auto_pad" in attributes else b"NOTSET"
    return automatic.startswith(b"SAME") or ("pads" in attributes and any(attributes["pads"].ints))
