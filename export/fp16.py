"""The fp16 variant: float32 at the interface and in the preprocessing, weights and arithmetic in half precision.

ONNX Runtime's own converter takes the values between preprocessing steps through half precision too, where sums of pixels
overflow.
"""

import copy
from collections.abc import Collection

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nin_onnx.errors import ExportError
from nin_onnx.evaluator import evaluator
from nin_onnx.export.calibration import logits
from nin_onnx.export.maker import Made, VariantSource
from nin_onnx.export.network_part import preprocessing
from nin_onnx.export.to_onnx import golden_vectors
from nin_onnx.golden import Golden
from nin_onnx.graph import copied, replace_all
from nin_onnx.precision import PRECISIONS
from nin_onnx.train.network import TorchClassifier

__all__ = ["convert_to_fp16", "fp16"]

LARGEST = float(np.finfo(np.float16).max)


def fp16(source: VariantSource) -> Made:
    """Return the exported graph in half precision; raises `ExportError` if it is not near PyTorch's answers."""
    model = convert_to_fp16(source.model, source.preprocessing)
    golden = _golden_vectors(source.classifier)
    _check(model, golden)
    return Made(model, logits(model, source.data.validation.images), golden)


def _golden_vectors(classifier: TorchClassifier) -> Golden:
    """Return PyTorch's answers in float64, the network's weights rounded as the graph has them."""
    rounded = copy.deepcopy(classifier)
    rounded.network.half().float()
    return golden_vectors(rounded)


def _check(model: onnx.ModelProto, golden: Golden) -> None:
    """Raise `ExportError` if an output of `model` is too far from `golden`."""
    allowed = PRECISIONS["fp16"].tolerance
    found = evaluator(model).run(None, {"images": golden.images})
    for array, (name, expected) in zip(found, golden.outputs.items(), strict=True):
        difference = float(np.abs(np.asarray(array, np.float64) - expected).max()) / golden.scale(name)
        if not difference <= allowed:  # NaN fails too
            raise ExportError(
                f"the fp16 graph's '{name}' differs from PyTorch's by {difference:.1e} of its largest value, at most "
                f"{allowed:g} is allowed: nothing is written; leave --variant fp16 out"
            )


def convert_to_fp16(model: onnx.ModelProto, steps: Collection[str]) -> onnx.ModelProto:
    """Return `model` with the network behind its preprocessing `steps` in half precision; raises `ExportError`."""
    result = copied(model)
    graph = result.graph
    before = preprocessing(result, steps)
    network = [node for node in graph.node if node not in before]
    crossing = _floats(model) & ({name for node in before for name in node.output} | {value.name for value in graph.input})
    given = {value.name for value in graph.output} & _floats(model)
    read = {name for node in network for name in node.input}
    renamed = {name: f"{name}_half" for name in (crossing & read) | given}
    for tensor in graph.initializer:
        if tensor.name in read and tensor.data_type == TensorProto.FLOAT:
            _halve(tensor)
    for node in network:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    into = [_cast(name, renamed[name], TensorProto.FLOAT16) for name in renamed if name not in given]
    out = [_cast(renamed[value.name], value.name, TensorProto.FLOAT) for value in graph.output if value.name in given]
    replace_all(graph.node, [*before, *into, *network, *out])
    del graph.value_info[:]
    return onnx.shape_inference.infer_shapes(result, strict_mode=True)


def _cast(source: str, target: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], f"{target}_cast", to=to)


def _halve(tensor: onnx.TensorProto) -> None:
    array = numpy_helper.to_array(tensor)
    if np.abs(array).max(initial=0) > LARGEST:
        raise ExportError(f"'{tensor.name}' holds numbers above {LARGEST:g}, which half precision has not: leave fp16 out")
    tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), tensor.name))


def _floats(model: onnx.ModelProto) -> set[str]:
    """Return the values that hold float32 numbers."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    known = (*graph.input, *graph.value_info, *graph.output)
    return {value.name for value in known if value.type.tensor_type.elem_type == TensorProto.FLOAT}
