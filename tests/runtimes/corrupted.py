"""Model files gone wrong, in any number and always the same: bytes that were hit, and graphs that say what cannot be."""

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import onnx
from onnx import TensorProto, helper

from nin_onnx.card import CARD_KEY

NUMBERS = (0, -1, 1, 7, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))
TEXTS = (
    "",
    "images",
    "logits",
    "kernel",
    "\0",
    "ä😀",
    "../../../etc/passwd",
    "x" * 70_000,
    "%s%n{}",
    "\n\r\x1b[31m",
    "Conv",
    "If",
)
JUNK: tuple[Any, ...] = (None, True, -1, 1e400, 2**70, "", "\ud800", "x" * 70_000, [], [[]], [None], {}, {"name": 3}, ["a", 1])


def corrupted(whole: bytes, seed: int, *, graph: bool = True) -> Iterator[bytes]:
    """Without end: copies of the file `whole`, each with one to three faults; of a model, half of them are in its graph."""
    random = Random(seed)
    while True:
        kinds = random.choice((BYTES, GRAPHS)) if graph else BYTES
        content = whole
        for _ in range(random.randint(1, 3)):
            content = random.choice(kinds)(content, random)
        yield content


def flip(content: bytes, random: Random) -> bytes:
    """Some bits turned."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def cut(content: bytes, random: Random) -> bytes:
    """Cut short, as a download is."""
    return content[: random.randrange(len(content) + 1)]


def insert(content: bytes, random: Random) -> bytes:
    """Bytes that do not belong there: any, zeros, a varint without end, a length of exabytes."""
    place = random.randrange(len(content) + 1)
    strange = random.choice(
        (random.randbytes(random.randint(1, 40)), bytes(random.randint(1, 400)), b"\xff" * 11, b"\x3a" + b"\xff" * 8 + b"\x7f")
    )
    return content[:place] + strange + content[place:]


def repeat(content: bytes, random: Random) -> bytes:
    """A range that stands there twice, or in the place of another."""
    first, last = sorted(random.randrange(len(content) + 1) for _ in range(2))
    place = random.randrange(len(content) + 1)
    return content[:place] + content[first:last] + content[place + random.choice((0, last - first)) :]


def remove(content: bytes, random: Random) -> bytes:
    """A range that is missing."""
    first, last = sorted(random.randrange(len(content) + 1) for _ in range(2))
    return content[:first] + content[last:]


def in_the_graph(change: Callable[[onnx.ModelProto, Random], object]) -> Callable[[bytes, Random], bytes]:
    """The fault `change` in a file that can still be parsed."""

    def corrupt(content: bytes, random: Random) -> bytes:
        try:
            model = onnx.load_model_from_string(content)
        except Exception:
            return content
        try:
            change(model, random)
            return bytes(model.SerializeToString())
        except (IndexError, KeyError, TypeError, ValueError, RecursionError):  # an earlier fault left nothing that this one hits
            return content

    return corrupt


def dims(model: onnx.ModelProto, random: Random) -> None:
    """A tensor that says it is of another size than it is."""
    tensor = random.choice(model.graph.initializer)
    tensor.dims[:] = [random.choice(NUMBERS) for _ in range(random.choice((0, 1, 4, 30)))]


def sides(model: onnx.ModelProto, random: Random) -> None:
    """An input or output of a size that nothing has."""
    shape = random.choice([*model.graph.input, *model.graph.output]).type.tensor_type.shape
    if random.random() < 0.3:
        shape.ClearField("dim")
        shape.dim.extend(onnx.TensorShapeProto.Dimension(dim_value=1) for _ in range(random.choice((0, 1, 2, 5, 300))))
        return
    side = random.choice(shape.dim)
    if random.random() < 0.5:
        side.dim_value = random.choice(NUMBERS)
    else:
        side.dim_param = random.choice(TEXTS)


def types(model: onnx.ModelProto, random: Random) -> None:
    """Another type than the values have, or one that there is not, or no tensor at all."""
    number = random.choice((*range(-1, 30), 2**31 - 1, -(2**31)))
    if random.random() < 0.3:
        random.choice(model.graph.initializer).data_type = number
        return
    kind = random.choice([*model.graph.input, *model.graph.output]).type
    if random.random() < 0.7:
        kind.tensor_type.elem_type = number
        return
    for _ in range(random.choice((1, 1, 20))):
        inner = onnx.TypeProto()
        inner.CopyFrom(kind)
        random.choice((kind.sequence_type, kind.optional_type)).elem_type.CopyFrom(inner)


def values(model: onnx.ModelProto, random: Random) -> None:
    """A tensor with more or fewer values than it should have, in another field, or in a file elsewhere."""
    tensor = random.choice(model.graph.initializer)
    match random.randrange(5):
        case 0:
            tensor.raw_data = tensor.raw_data[: random.randrange(len(tensor.raw_data) + 1)]
        case 1:
            tensor.raw_data += random.randbytes(random.choice((1, 4, 1000)))
        case 2:
            tensor.float_data.extend([float("nan"), float("inf")])
        case 3:
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key=random.choice(("location", "offset", "length", "")), value=random.choice(TEXTS))
        case _:
            tensor.string_data.extend([b"\xff\xfe", b""])


def edges(model: onnx.ModelProto, random: Random) -> None:
    """An edge that leads nowhere, back, or twice to the same place; nodes in another order, twice, or gone."""
    nodes = model.graph.node
    node, other = random.choice(nodes), random.choice(nodes)
    match random.randrange(7):
        case 0:
            node.input[random.randrange(len(node.input))] = random.choice((*TEXTS, *other.output))
        case 1:
            node.output[random.randrange(len(node.output))] = random.choice((*TEXTS, *other.input, *other.output))
        case 2:
            nodes.add().CopyFrom(node)
        case 3:
            nodes.remove(node)
        case 4:
            turned = list(reversed(nodes))
            del nodes[:]
            nodes.extend(turned)
        case 5:
            node.input.extend(random.choice(([""] * 3, list(other.output), ["x"] * 1000)))
        case _:
            del node.output[:]


def operators(model: onnx.ModelProto, random: Random) -> None:
    """An operator that there is not, or with attributes that it does not have; a graph within itself."""
    node = random.choice(model.graph.node)
    match random.randrange(4):
        case 0:
            node.op_type = random.choice((*TEXTS, "Loop", "Relu", "Softmax", "Reshape", "Constant"))
        case 1:
            node.domain = random.choice((*TEXTS, "com.microsoft", "ai.onnx.ml"))
        case 2:
            value: Any = random.choice((random.choice(NUMBERS), 1.5, "text", [1, -5, 2**62], [0.5], ["a"], model.graph))
            name = random.choice((*TEXTS, *(entry.name for entry in node.attribute), "axis", "strides", "pads", "value"))
            node.attribute.append(helper.make_attribute(name, value))
        case _:
            for entry in node.attribute:
                entry.type = random.choice((0, 1, 2, 3, 4, 5, 6, 7, 11))


def heads(model: onnx.ModelProto, random: Random) -> None:
    """Versions that never were, no operator set, no graph, no inputs or outputs, or two of the same."""
    match random.randrange(7):
        case 0:
            model.ir_version = random.choice(NUMBERS)
        case 1:
            model.opset_import[0].version = random.choice(NUMBERS)
        case 2:
            model.opset_import.add(domain=random.choice(("", "ai.onnx", *TEXTS)), version=random.choice(NUMBERS))
        case 3:
            model.ClearField(random.choice(("graph", "opset_import", "ir_version", "metadata_props")))
        case 4:
            model.graph.ClearField(random.choice(("input", "output", "node", "initializer", "name")))
        case 5:
            entries = random.choice((model.graph.input, model.graph.output))
            entries.add().CopyFrom(random.choice(entries))
        case _:
            random.choice([*model.graph.input, *model.graph.output]).name = random.choice(TEXTS)


def texts(content: bytes, random: Random) -> bytes:
    """Text that is no UTF-8, in the place of a name."""
    name = random.choice((b"images", b"logits", b"kernel", b"Conv", b"batch", b"nin_onnx", b"tiny", b"perm"))
    strange = random.choice((b"\xff", b"\xc3", b"\xed\xa0\x80"))
    return content.replace(name, (strange * len(name))[: len(name)], random.choice((1, -1)))


def card(model: onnx.ModelProto, random: Random) -> None:
    """A card that is no JSON, or whose entries are of other kinds, too many, too deep, or absent."""
    (entry,) = [entry for entry in model.metadata_props if entry.key == CARD_KEY]
    facts = json.loads(entry.value)
    match random.randrange(6):
        case 0:
            facts[random.choice(list(facts))] = random.choice(JUNK)
        case 1:
            del facts[random.choice(list(facts))]
        case 2:
            entry.value = random.choice(("", "null", "[]", "{}", "NaN", '"text"', "[" * 100_000, '{"a":' * 100_000, "1" * 5000))
            return
        case 3:
            model.metadata_props.add(key=CARD_KEY, value="{}")
        case 4:
            facts["dataset"] = random.choice(
                ({"name": "mnits"}, {"name": "../.."}, {"name": "mnist", "images": JUNK}, {"": None})
            )
        case _:
            entry.value = entry.value[: random.randrange(len(entry.value))]
            return
    entry.value = json.dumps(facts)


BYTES = (flip, cut, insert, repeat, remove)
GRAPHS = (texts, *map(in_the_graph, (dims, sides, types, values, edges, operators, heads, card)))
