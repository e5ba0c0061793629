"""`nin-onnx show`: what a model file says about itself, and its layers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import click

from nin_onnx.commands.options import columns, json_option, print_json
from nin_onnx.graph import graph_inputs
from nin_onnx.printable import printable

if TYPE_CHECKING:
    import onnx

    from nin_onnx.card import Card
    from nin_onnx.graph_layers import GraphLayer
    from nin_onnx.runtimes.model import ModelFile

__all__ = ["show"]

WIDTH = 100
NAME = 34  # characters of a layer's name that are shown


@click.command()
@click.argument("model")
@json_option
def show(model: str, as_json: bool) -> None:
    """Show what MODEL says about itself, and its layers with shapes, parameters and multiply-adds for one image.

    MODEL is a shipped name, an .onnx file, a model's folder or an exported run; of a model from elsewhere, what its graph says.
    No runtime is needed: a graph whose 8-bit products could saturate is tried in an emulation, for a minute at most. What comes
    before the network's first layer counts as preprocessing.
    """
    import onnx

    from nin_onnx import models
    from nin_onnx.graph_layers import graph_layers
    from nin_onnx.runtimes.explanations.saturation import saturation_alone
    from nin_onnx.runtimes.read_model import read_model

    path = models.find(model)
    file = read_model(path)
    graph = onnx.load(path)
    layers = graph_layers(graph, _size(file.card))
    first = _first(layers, file.card)
    before, network = layers[:first], layers[first:]
    saturation = saturation_alone(file)
    if as_json:
        found = {**_facts(file, graph), "saturation": asdict(saturation) if saturation else None}
        rows = {"preprocessing": [asdict(layer) for layer in before], "layers": [asdict(layer) for layer in network]}
        print_json({**found, **rows, "totals": _totals(network)})
        return
    _print_lines(_file_lines(file, graph))
    if saturation:
        click.echo()
        _print_lines([("8 bits" if at == 0 else "", finding) for at, finding in enumerate(saturation.lines())])
    click.echo()
    _print_lines(_card_lines(file.card) if file.card else [("card", "none: the model is from elsewhere")])
    click.echo()
    _print_layers(before, network)


def _facts(file: "ModelFile", model: "onnx.ModelProto") -> dict[str, Any]:
    """Return what the file says about itself, for JSON."""
    from nin_onnx.card import CARD_KEY

    return {
        "file": str(file.path),
        "bytes": file.size,
        "sha256": file.sha256,
        "opset": file.opset,
        "ir": file.ir,
        "card": asdict(file.card) if file.card else None,
        "metadata": {entry.key: entry.value for entry in model.metadata_props if entry.key != CARD_KEY},
        "inputs": [_value(value) for value in graph_inputs(model.graph)],
        "outputs": [_value(value) for value in model.graph.output],
    }


def _file_lines(file: "ModelFile", model: "onnx.ModelProto") -> Iterable[tuple[str, str]]:
    size = f"{file.size / 1e6:,.1f} MB" if file.size >= 1e5 else f"{file.size:,} bytes"
    yield "file", f"{file.path}, {size}, opset {file.opset}, IR {file.ir}, sha256 {file.sha256[:12]}"
    for value in graph_inputs(model.graph):
        yield "input", _value(value)
    for value in model.graph.output:
        yield "output", _value(value)


def _totals(network: "Sequence[GraphLayer]") -> dict[str, int | None]:
    """Return the sums of the layers; None if one of them is not known."""
    operations = [layer.multiply_adds for layer in network]
    return {
        "parameters": sum(layer.parameters for layer in network),
        "multiply_adds": None if None in operations else sum(filter(None, operations)),
    }


def _size(card: "Card | None") -> dict[int, int]:
    """Return height and width by the number of their dimension, for a graph that leaves them free."""
    if card is None:
        return {}
    first = 1 if card.input.startswith("uint8") else 2
    return {first: card.height, first + 1: card.width}


def _first(layers: "Sequence[GraphLayer]", card: "Card | None") -> int:
    """Return at which layer the network begins, behind its preprocessing."""
    from nin_onnx.architecture import ARCHITECTURES

    if card is None or card.architecture not in ARCHITECTURES:
        return 0
    name = ARCHITECTURES[card.architecture].rows[0].name
    return next((at for at, layer in enumerate(layers) if layer.name == name), 0)


def _value(value: "onnx.ValueInfoProto") -> str:
    from onnx import helper

    kind = value.type.tensor_type
    if not kind.elem_type:  # a sequence or a map, as scikit-learn's exporter gives beside the scores
        return f"{value.name}: {(value.type.WhichOneof('value') or 'unknown').removesuffix('_type')}"
    sides = [str(side.dim_value) if side.HasField("dim_value") else side.dim_param or "?" for side in kind.shape.dim]
    return f"{value.name}: {helper.tensor_dtype_to_np_dtype(kind.elem_type).name} [{', '.join(sides)}]"


def _card_lines(card: "Card") -> Iterable[tuple[str, str]]:
    from nin_onnx.card import listed, processor

    colors = "gray" if card.channels == 1 else "red, green, blue"
    yield "model", f"{card.name}, architecture {card.architecture}"
    if card.source:
        yield "variant", f"{card.precision}, {card.input}, of the graph with sha256 {card.source[:12]}"
    fitted = {"stretch": "stretched", "crop": "cropped"}[card.fit]
    yield "images", f"{card.height} × {card.width}, {colors}, raw pixels 0…255; others are {fitted} to that"
    yield f"{len(card.labels)} labels", listed(card.labels)
    yield "preprocessing", ", ".join(card.preprocessing) or "none"
    yield "recipe", card.recipe and f"{card.recipe}, seed {card.seed}"
    yield from _test_lines(card)
    if card.comparison:
        one = card.comparison
        yield (
            f"in {card.precision}",
            f"{one['errors']:,} errors of {one['images']:,} test images, {one['net']:+,} net, {one['label_changes']:,} labels "
            f"changed; {one['runtime']} on {processor(one)}",
        )
    yield "trained on", ", ".join(_data(card.dataset))
    yield "trained with", ", ".join(f"{name} {version}" for name, version in sorted(card.trained_with.items()))
    yield "exported with", ", ".join(f"{name} {version}" for name, version in sorted(card.exported_with.items()))
    yield "golden", f"sha256 {card.golden[:12]}" if card.golden else ""
    yield "weights", f"sha256 {card.weights[:12]}" if card.weights else ""
    yield "license", card.license or "unknown"


def _test_lines(card: "Card") -> Iterable[tuple[str, str]]:
    """Yield the test error, and the paper's figure beside it."""
    from nin_onnx.paper import published
    from nin_onnx.verdict import judge

    if not card.test:
        return
    test = card.test
    text = f"{test['error']:.2f} % [{test['low']:.2f}, {test['high']:.2f}], {test['errors']:,} of {test['images']:,} images"
    whose = "; of the network in float32, before it was made into this" if card.source else ""
    yield "test error", f"{text}; {test['name']}, {test['provenance']}{whose}"
    figure = published(card.experiment) if card.experiment and not card.source else None
    if figure:
        verdict = judge(test["errors"], test["images"], test, figure)
        how = "" if card.recipe == card.experiment else ", not by its protocol"
        yield "paper", f"{figure.error:.2f} %, {figure.method}, {figure.place}" + (f": {verdict}{how}" if verdict else "")


def _data(data: Mapping[str, Any]) -> Iterable[str]:
    """Yield what is known of a training set."""
    if "name" in data:
        yield str(data["name"])
    if "images" in data:
        yield f"{data['images']:,} images"
    if "provenance" in data:
        yield str(data["provenance"])
    if "fingerprint" in data:
        yield f"fingerprint {data['fingerprint'][:12]}"


def _print_lines(lines: Iterable[tuple[str, str]]) -> None:
    """Print words in a column, and beside them what they say, wrapped if it is long."""
    told = [(word, text) for word, text in lines if text.strip()]
    margin = max(len(word) for word, _ in told) + 2
    for word, text in told:
        first, *others = wrap(text, WIDTH - margin, break_on_hyphens=False, break_long_words=False)
        for start, line in ((word, first), *(("", other) for other in others)):
            click.echo(printable(f"{start:<{margin}}{line}"))


def _print_layers(before: "Sequence[GraphLayer]", network: "Sequence[GraphLayer]") -> None:
    totals = _totals(network)
    rows: list[tuple[str, ...]] = [("layer", "operators", "output", "parameters", "multiply-adds")]
    rows += [_row(layer) for layer in before]
    rows += [_row(layer) for layer in network]
    rows += [("network", "", "", _number(totals["parameters"]), _number(totals["multiply_adds"]))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    room = WIDTH - 8 - sum(widths) + widths[1]  # for the operators, beside four gaps of 2
    shown = [(name, some if len(some) <= room else f"{some[: room - 1]}…", *others) for name, some, *others in rows]
    click.echo(columns([tuple(map(printable, row)) for row in shown], left=3))


def _row(layer: "GraphLayer") -> tuple[str, ...]:
    name = layer.name if len(layer.name) <= NAME else f"…{layer.name[1 - NAME :]}"
    shape = " × ".join("?" if side is None else str(side) for side in layer.output)
    operations = "" if layer.multiply_adds == 0 else _number(layer.multiply_adds)
    return name, ", ".join(layer.operators), shape, _number(layer.parameters) if layer.parameters else "", operations


def _number(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"
