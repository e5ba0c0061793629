"""Bring every operator that multiplies 8-bit numbers to one form: DequantizeLinear on both sides of a float operator.

Rules, `x` and `w` being the two factors:

1. QLinearConv, QLinearMatMul, com.microsoft.QGemm      DequantizeLinear(x), (w), (bias) → Conv, MatMul, Gemm → QuantizeLinear
2. ConvInteger, MatMulInteger                           the same with scales of 1 → Conv, MatMul → Cast to int32
3. com.microsoft.MatMulIntegerToFloat                   DequantizeLinear(x), (w) → MatMul → Add
4. com.microsoft.DynamicQuantizeMatMul                  DynamicQuantizeLinear(x) first, then as 3
"""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from nin_onnx.graph import attributes, copied, replace_all, subgraphs

if TYPE_CHECKING:
    import onnx

    Nodes = Generator[onnx.NodeProto, None, str]

__all__ = ["FORMS", "as_qdq", "in_8_bits", "inner_nodes"]


@dataclass(frozen=True)
class Form:
    """Which input of an operator is what, by position; None where it has none."""

    float_form: str
    x: tuple[int, int | None, int | None]
    """The factor itself, its scale, its zero point."""
    w: tuple[int, int | None, int | None]
    bias: int | None = None
    y: tuple[int, int] | None = None
    """Scale and zero point of the result."""
    integer_bias: bool = False
    """Whether the bias is an int32 in the scale of the products."""


FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "QLinearConv": Form("Conv", (0, 1, 2), (3, 4, 5), 8, (6, 7), integer_bias=True),
        "QLinearMatMul": Form("MatMul", (0, 1, 2), (3, 4, 5), None, (6, 7)),
        "QGemm": Form("Gemm", (0, 1, 2), (3, 4, 5), 6, (7, 8), integer_bias=True),
        "ConvInteger": Form("Conv", (0, None, 2), (1, None, 3)),
        "MatMulInteger": Form("MatMul", (0, None, 2), (1, None, 3)),
        "MatMulIntegerToFloat": Form("MatMul", (0, 2, 4), (1, 3, 5), 6),
        "DynamicQuantizeMatMul": Form("MatMul", (0, None, None), (1, 2, 3), 4),
    }
)
"""Operator -> how it is read. The names of ONNX's own and of ONNX Runtime's do not meet."""


def in_8_bits(model: "onnx.ModelProto") -> bool:
    """Return whether `model` has an operator that multiplies 8-bit numbers, or may stand beside one that does."""
    nodes = (*model.graph.node, *inner_nodes(model))
    return any(node.op_type in FORMS or node.op_type == "DequantizeLinear" for node in nodes)


def inner_nodes(model: "onnx.ModelProto") -> list["onnx.NodeProto"]:
    """Return the nodes in subgraphs and functions of `model`, which `as_qdq` leaves as they are."""
    found = [node for function in model.functions for node in function.node]
    return found + [node for graph in subgraphs([*model.graph.node, *found]) for node in graph.node]


def as_qdq(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """Return a copy of `model` in which float operators between DequantizeLinear stand for those of `FORMS`."""
    result = copied(model)
    writer = _Writer(result)
    replace_all(result.graph.node, [new for node in model.graph.node for new in writer.rewritten(node)])
    return result


@dataclass
class _Writer:
    """Makes nodes with names that are not in use."""

    model: "onnx.ModelProto"
    numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        graph = self.model.graph
        self.used = {name for node in graph.node for name in (*node.input, *node.output)}
        self.used |= {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}
        self.sizes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}

    def rewritten(self, node: "onnx.NodeProto") -> Iterator["onnx.NodeProto"]:
        """Yield what stands for `node`: itself, or the nodes of its rule."""
        from onnx import TensorProto, helper

        form = FORMS.get(node.op_type)
        if form is None:
            yield node
            return
        given = [*node.input, *[""] * 9]
        x, x_scale, x_zero = (given[at] if at is not None else "" for at in form.x)
        if node.op_type == "DynamicQuantizeMatMul":
            x, source = self.fresh(), x
            x_scale, x_zero = self.fresh(), self.fresh()
            yield helper.make_node("DynamicQuantizeLinear", [source], [x, x_scale, x_zero])
        w, w_scale, w_zero = (given[at] if at is not None else "" for at in form.w)
        settings = attributes(node)
        x_scale, w_scale = x_scale or self.number(1), w_scale or self.number(1)
        axis = 0 if form.float_form == "Conv" or settings.get("transB") else -1
        operands = []
        for factor, scale, zero, along in ((x, x_scale, x_zero, 1), (w, w_scale, w_zero, axis)):
            operands.append(self.fresh())
            yield helper.make_node("DequantizeLinear", [factor, scale, *[zero] * bool(zero)], operands[-1:], axis=along)
        bias = given[form.bias] if form.bias is not None else ""
        if bias and form.integer_bias:
            bias = yield from self.float_bias(bias, [x_scale, w_scale], settings.get("alpha"))
        result = yield from self.product(node, form, [*operands, *[bias] * bool(bias)], settings)
        scale, zero = (given[at] for at in form.y) if form.y else ("", "")
        if scale:
            yield helper.make_node("QuantizeLinear", [result, scale, *[zero] * bool(zero)], node.output)
        else:
            kind = TensorProto.INT32 if node.op_type.endswith("Integer") else TensorProto.FLOAT
            yield helper.make_node("Cast", [result], node.output, to=kind)

    def float_bias(self, bias: str, scales: list[str], alpha: float | None) -> "Nodes":
        """Yield what makes an int32 bias, in the scale of the products, a float, and return its name."""
        from onnx import helper

        product, result = self.fresh(), self.fresh()
        yield helper.make_node("Mul", scales, [product])
        if alpha is not None:  # QGemm's bias is in the scale of what is multiplied by it
            product, before = self.fresh(), product
            yield helper.make_node("Mul", [before, self.number(alpha)], [product])
        yield helper.make_node("DequantizeLinear", [bias, product], [result], axis=0)
        return result

    def product(self, node: "onnx.NodeProto", form: Form, inputs: list[str], settings: Mapping[str, Any]) -> "Nodes":
        """Yield the float operator on two factors and perhaps a bias, and return the name of its result."""
        from onnx import helper

        added = inputs[2:] if form.float_form == "MatMul" else []  # which takes no bias
        result = self.fresh()
        name = node.name or node.output[0]
        yield helper.make_node(form.float_form, inputs[: len(inputs) - len(added)], [result], name=name, **settings)
        if added:
            result, before = self.fresh(), result
            yield helper.make_node("Add", [before, *added], [result])
        return result

    def fresh(self) -> str:
        """Return a name that nothing has."""
        name = next(name for number in self.numbers if (name := f"qdq_{number}") not in self.used)
        self.used.add(name)
        return name

    def number(self, value: float) -> str:
        """Return the name of a float32 constant."""
        from onnx import numpy_helper

        name = self.fresh()
        self.model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name
