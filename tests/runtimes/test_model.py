"""Files that are no ONNX image classifier, and data sets that do not fit one: each gets its one line."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from nin_onnx.data.dataset import Dataset
from nin_onnx.eight_bits.qdq import in_8_bits
from nin_onnx.errors import ModelError
from nin_onnx.runtimes import EvalOptions, evaluate
from nin_onnx.runtimes.read_model import graph_precision, read_model

Writer = Callable[..., Path]
Data = Callable[..., Dataset]


def changed(path: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)
    return path


def set_input(name: str, kind: int, shape: list[str | int]) -> Callable[[onnx.ModelProto], object]:
    value = helper.make_tensor_value_info(name, kind, shape)

    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].CopyFrom(value)
        model.graph.node[0].input[0] = name

    return change


def test_the_facts_of_a_model_are_read_without_a_runtime(tiny_model: Writer) -> None:
    model = read_model(tiny_model())
    assert model.input == ("batch", 8, 6, 3)
    assert (model.classes, model.ir, model.opset) == (4, 8, 18)
    assert model.card
    assert model.card.labels == ("ant", "bee", "cat", "dog")


def test_a_model_without_card_is_read(tiny_model: Writer) -> None:
    assert read_model(tiny_model(card=False)).card is None


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read the model '.*absent\.onnx' \(No such file or directory\): give the path"):
        read_model(tmp_path / "absent.onnx")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", bytes(1000)], ids=["empty", "text", "png", "zeros"])
def test_a_file_that_is_not_onnx_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"'.*other\.onnx' is no valid ONNX file, is truncated, or is too new"):
        read_model(path)


def test_a_file_that_is_truncated_anywhere_is_named(tiny_model: Writer) -> None:
    path = tiny_model()
    content = path.read_bytes()
    whole = onnx.load_model_from_string(content)
    sound = set()  # cut between two entries of its metadata, which come last, it is a model still
    while whole.metadata_props:
        whole.metadata_props.pop()
        sound.add(whole.ByteSize())
    for length in {*np.linspace(1, len(content) - 1, 100, dtype=int).tolist()} - sound:
        path.write_bytes(content[:length])
        with pytest.raises(ModelError, match=r"^'.*model\.onnx'") as caught:
            read_model(path)
        assert "\n" not in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_read_or_refused_but_never_raises_anything_else(tiny_model: Writer, data: st.DataObject) -> None:
    path = tiny_model()
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        read_model(path)
    except ModelError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("name", "kind", "shape"),
    [
        ("data", TensorProto.UINT8, ["batch", 8, 6, 3]),
        ("images", TensorProto.FLOAT, ["batch", 8, 6, 3]),
        ("images", TensorProto.UINT8, [1, 8, 6, 3]),
        ("images", TensorProto.UINT8, ["batch", 8, 6]),
    ],
)
def test_a_model_with_another_input_than_raw_pixels_is_foreign_and_has_no_test_error(
    tiny_model: Writer, tiny_data: Data, name: str, kind: int, shape: list[str | int]
) -> None:
    model = read_model(changed(tiny_model(), set_input(name, kind, shape)))
    assert model.foreign
    assert model.input == tuple(shape)
    assert model.fixed_batch == (1 if shape[0] == 1 else None)
    with pytest.raises(ModelError, match="so its error cannot be measured: leave --dataset and --images out"):
        model.check(tiny_data(5))


def test_a_graph_without_logits_is_foreign(tiny_model: Writer) -> None:
    model = read_model(changed(tiny_model(), lambda model: model.graph.output.pop(0)))
    assert model.foreign
    assert model.outputs == ("probabilities", "class_maps")


def test_weights_among_the_inputs_are_no_inputs(tiny_model: Writer) -> None:
    kernel = helper.make_tensor_value_info("kernel", TensorProto.FLOAT, [4, 3, 3, 3])
    model = read_model(changed(tiny_model(), lambda model: model.graph.input.insert(0, kernel)))
    assert (model.foreign, model.input) == (False, ("batch", 8, 6, 3))


@pytest.mark.parametrize(
    ("name", "kind", "shape", "found"),
    [
        ("ids", TensorProto.INT64, ["batch", 8], r"ids: int64 \[batch, 8\]"),
        ("text", TensorProto.STRING, ["batch", 8], r"text: string \[batch, 8\]"),
        ("number", TensorProto.FLOAT, ["batch"], r"number: float \[batch\]"),
        ("folded", TensorProto.FLOAT, [1] * 33, r"folded: float \[1, .*\]"),
    ],
)
def test_an_input_that_it_cannot_be_tried_with_is_refused(
    tiny_model: Writer, name: str, kind: int, shape: list[str | int], found: str
) -> None:
    path = changed(tiny_model(), set_input(name, kind, shape))
    with pytest.raises(ModelError, match=rf"should take one array of uint8 or floating point numbers .*, it takes '{found}'"):
        read_model(path)


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_below_one_is_a_free_one(tiny_model: Writer, size: int) -> None:
    model = read_model(changed(tiny_model(), set_input("images", TensorProto.UINT8, [size, 8, size, 3])))
    assert (model.foreign, model.input, model.fixed_batch) == (False, (None, 8, None, 3), None)


def test_two_inputs_are_refused(tiny_model: Writer) -> None:
    other = helper.make_tensor_value_info("other", TensorProto.FLOAT, ["batch", 1])
    path = changed(tiny_model(), lambda model: model.graph.input.append(other))
    with pytest.raises(ModelError, match=r"it takes 'images: uint8 \[batch, 8, 6, 3\], other: float \[batch, 1\]'"):
        read_model(path)


def test_a_free_height_and_width_take_every_size(tiny_model: Writer, tiny_data: Data) -> None:
    path = changed(tiny_model(), set_input("images", TensorProto.UINT8, ["batch", "height", "width", 3]))
    model, data = read_model(path), tiny_data(5)
    model.check(replace(data, images=data.images[:, :7, :5]))
    with pytest.raises(ModelError, match="takes images of height × width × 3 "):
        model.check(replace(data, images=data.images[..., :1]))


def test_a_data_set_of_another_size_is_refused_with_both_sizes(tiny_model: Writer, tiny_data: Data) -> None:
    data = tiny_data(5)
    turned = replace(data, images=data.images.transpose(0, 2, 1, 3))
    with pytest.raises(ModelError, match=r"takes images of 8 × 6 × 3 .*, the data set 'mnist' has 6 × 8 × 3"):
        read_model(tiny_model()).check(turned)


def test_a_data_set_with_other_classes_is_refused_with_both(tiny_model: Writer, tiny_data: Data) -> None:
    model, data = read_model(tiny_model()), tiny_data(5)
    model.check(data)
    with pytest.raises(ModelError, match="tells 4 classes apart, the data set 'mnist' has 5"):
        model.check(replace(data, classes=(*data.classes, "elk")))
    with pytest.raises(ModelError, match="has the label 'bee' where the data set 'mnist' has 'cat'"):
        model.check(replace(data, classes=("ant", "cat", "bee", "dog")))


def test_a_model_that_gives_no_floating_point_numbers_is_told_what_it_gives(tmp_path: Path) -> None:
    node = helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0)
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 4])
    label = helper.make_tensor_value_info("label", TensorProto.INT64, ["N"])
    onnx.save(helper.make_model(helper.make_graph([node], "labels", [scores], [label])), tmp_path / "labels.onnx")
    with pytest.raises(ModelError, match=r"labels\.onnx' should give an array of floating.*, it gives 'label: int64 \[N\]'"):
        evaluate(tmp_path / "labels.onnx", EvalOptions(runtimes=["onnxruntime"]))


def products(folder: Path, *kinds: type, constant: bool = False) -> Path:
    """A chain of products with weights of these types, in initializers or in nodes of their own."""
    weights = [numpy_helper.from_array(np.ones((2, 2), kind), f"w{place}") for place, kind in enumerate(kinds)]
    nodes = [helper.make_node("MatMul", [f"x{place}", f"w{place}"], [f"x{place + 1}"]) for place in range(len(kinds))]
    makers = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in weights]
    graph = helper.make_graph(makers + nodes if constant else nodes, "products", [], [], [] if constant else weights)
    onnx.save(helper.make_model(graph), folder / "products.onnx")
    return folder / "products.onnx"


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        ((np.float32, np.float32), "fp32"),
        ((np.float16,), "fp16"),
        ((np.float32, np.float16), "fp16"),
        ((np.float64,), None),
        ((), None),
    ],
)
def test_the_precision_of_a_graph_is_the_coarsest_of_its_weights(
    tmp_path: Path, kinds: tuple[type, ...], told: str | None, *, constant: bool
) -> None:
    assert graph_precision(onnx.load(products(tmp_path, *kinds, constant=constant)).graph) == told


@pytest.mark.parametrize("operator", ["QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "QGemm"])
def test_an_operator_that_multiplies_8_bit_numbers_is_in_int8(tmp_path: Path, operator: str) -> None:
    path = products(tmp_path, np.float32)
    model = onnx.load(path)
    model.graph.node.append(helper.make_node(operator, ["x1"], ["y"]))
    assert graph_precision(model.graph) == "int8"
    assert in_8_bits(model)


def test_a_graph_in_float16_is_not_told_to_be_in_float32(tiny_model: Writer) -> None:
    """The convolution between two casts, as converters to float16 leave it."""

    def halve(model: onnx.ModelProto) -> None:
        graph = model.graph
        kernel = numpy_helper.to_array(graph.initializer[0]).astype(np.float16)
        graph.initializer[0].CopyFrom(numpy_helper.from_array(kernel, "kernel"))
        graph.node[3].input[0], graph.node[3].output[0] = "half", "half_maps"
        graph.node.insert(3, helper.make_node("Cast", ["scaled"], ["half"], to=TensorProto.FLOAT16))
        graph.node.insert(5, helper.make_node("Cast", ["half_maps"], ["maps"], to=TensorProto.FLOAT))

    names = ["onnxruntime", "onnxruntime-node", "onnxruntime-web", "reference"]
    rows = evaluate(changed(tiny_model(), halve), EvalOptions(runtimes=names)).rows
    assert {row.facts.precision for row in rows if row.facts} == {"fp16"}
