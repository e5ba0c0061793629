"""The card as a README.md: what a reader, and Hugging Face's hub, want to know of a model folder."""

import json
import re
from collections.abc import Mapping
from textwrap import fill
from types import MappingProxyType
from typing import Any

from nin_onnx.architecture import ARCHITECTURES
from nin_onnx.card import Card, listed, processor
from nin_onnx.costs import multiply_adds, parameters
from nin_onnx.data import DATASETS
from nin_onnx.export.how_to_call import how_to_call
from nin_onnx.paper import published

__all__ = ["render"]

YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}  # which are no text where they stand bare

OUTPUTS = {
    "logits": ("[batch, classes]", "scores, one for each class"),
    "probabilities": ("[batch, classes]", "their softmax"),
    "class_maps": ("[batch, classes, h, w]", "where in the image each class was seen; their means are the logits"),
}


def render(card: Card, class_maps: bool = True, variants: Mapping[str, Card] = MappingProxyType({})) -> str:
    """README.md for the model that `card` describes; `variants`: the cards in the folders below its own."""
    parts = [
        "---\n" + "\n".join(_block(_front_matter(card))) + "\n---",
        f"# {card.name}\n\n{_opening(card)}",
        _interface(card, class_maps),
        how_to_call(card),
        _variants(variants),
        _training(card),
        _limits(card),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(card: Card) -> dict[str, Any]:
    """What the hub reads: https://github.com/huggingface/hub-docs/blob/main/modelcard.md."""
    name = str(card.dataset.get("name", ""))
    paper = ["network-in-network"] if card.architecture in ARCHITECTURES else []
    found: dict[str, Any] = {}
    if card.license:
        found["license"] = card.license.lower()  # the hub's names are those of SPDX in small letters
    found |= {
        "library_name": "onnx",
        "pipeline_tag": "image-classification",
        "tags": ["onnx", "onnxruntime", "image-classification", *paper, "nin-onnx"],
    }
    if hub := _hub(name):
        found["datasets"] = [hub]
    if card.test:
        found["metrics"] = ["accuracy"]
        found["model-index"] = [{"name": card.name, "results": [_result(card.test)]}]
    return found


def _result(test: Mapping[str, Any]) -> dict[str, Any]:
    """Return an error rate as the hub reads it."""
    name = str(test["name"])
    error = f"test error, % (95 %: {test['low']:.2f} to {test['high']:.2f})"
    return {
        "task": {"type": "image-classification"},
        "dataset": {"type": _hub(name) or name, "name": name, "split": str(test["split"])},
        "metrics": [
            {"type": "accuracy", "name": "accuracy", "value": round(1 - test["errors"] / test["images"], 6)},
            {"type": "error", "name": error, "value": round(test["error"], 4)},
        ],
    }


def _hub(name: str) -> str | None:
    """Return what the hub calls a data set, if it has it."""
    return DATASETS[name].hub if name in DATASETS else None


def _opening(card: Card) -> str:
    what = f"An image classifier of {len(card.labels)} classes in one ONNX file: raw pixels in, labels out, preprocessing inside."
    table = ARCHITECTURES.get(card.architecture)
    if table is not None:
        table = table.adapted((card.channels, card.height, card.width), len(card.labels))
        size = f"{parameters(table):,} parameters, {multiply_adds(table) / 1e6:.1f} million multiply-adds an image"
        paper = "[Network in Network](https://arxiv.org/abs/1312.4400) (Lin, Chen, Yan 2013)"
        what += f" The network is `{card.architecture}`, after {paper}: {size}."
    if card.test:
        test = card.test
        error = f"**{test['error']:.2f} % test error** ({test['errors']:,} of {test['images']:,} images"
        what += f"\n\n{error}, 95 % interval {test['low']:.2f} to {test['high']:.2f}; {test['name']}, {test['provenance']})"
        figure = published(card.experiment) if card.experiment else None
        protocol = "" if card.recipe == card.experiment else f", by another protocol than that of `{card.recipe}`"
        what += f"; the paper has {figure.error:.2f} % ({figure.place}){protocol}." if figure else "."
        what += " Measured on the PyTorch model, in float32, when its training had ended."
        if test["name"] in DATASETS:
            data = test["name"]
            what += f" On this file, on every runtime:\n\n```sh\nnin-onnx data {data}\nnin-onnx eval . --dataset {data}\n```"
    return what


def _interface(card: Card, class_maps: bool) -> str:
    kind, _, shape = card.input.partition(" ")
    colors = "gray" if card.channels == 1 else "red, green, blue"
    size = f"{card.height} × {card.width}, {colors}, raw pixels 0…255"
    rows = [("in", "images", f"{kind} `{shape}`", size)]
    for name, (form, what) in OUTPUTS.items():
        if name != "class_maps" or class_maps:
            rows.append(("out", name, f"float32 `{form}`", what))
    table = "\n".join(f"| {way} | `{name}` | {form} | {what} |" for way, name, form, what in rows)
    labels = fill(listed(card.labels), 118, break_long_words=False, break_on_hyphens=False)
    steps = ", ".join(f"`{step}`" for step in card.preprocessing)
    inside = f"\n\nPreprocessing inside the graph: {steps}." if steps else ""
    fence = "`" * (3 + max(map(len, re.findall("`+", labels)), default=0))
    return (
        f"## Inputs and outputs\n\n|  | name | type and shape | what |\n| --- | --- | --- | --- |\n{table}{inside}\n\n"
        f"Labels, in the order of the classes:\n\n{fence}text\n{labels}\n{fence}"
    )


def _variants(variants: Mapping[str, Card]) -> str:
    """What each variant decides otherwise, where that was measured."""
    told = {name: card.comparison for name, card in variants.items() if card.comparison}
    if not told:
        return ""
    rows = "\n".join(
        f"| `{name}/` | {one['errors']:,} of {one['images']:,} | {one['net']:+,} | {one['label_changes']:,} | "
        f"{_cell(one['runtime'])} on {_cell(processor(one))} |"
        for name, one in told.items()
    )
    head = "| folder | test errors | more than in float32 | labels changed | measured with |\n| --- | --- | --- | --- | --- |"
    text = f"## Variants\n\n{head}\n{rows}"
    if any(variants[name].precision == "int8" for name in told):
        text += (
            "\n\nIn 8 bits sums of two products stay within 16 bits, whatever the image: no processor saturates, with or without "
            "instructions for 8 bits. Sums that round to the other side of a step may still change a label here and there."
        )
    return text


def _training(card: Card) -> str:
    data = card.dataset
    rows = [
        ("recipe", card.recipe and f"`{card.recipe}`, seed {card.seed}"),
        ("data", data.get("name") and _data(data)),
        ("trained with", _versions(card.trained_with)),
        ("exported with", _versions(card.exported_with)),
        ("weights", card.weights and f"`model.safetensors`, sha256 `{card.weights}`"),
        ("golden vectors", card.golden and f"`test_data_set_0/`, PyTorch's answers in float64, sha256 `{card.golden}`"),
        ("license", card.license),
    ]
    table = "\n".join(f"| {name} | {_cell(text)} |" for name, text in rows if text)
    return f"## Training\n\n|  |  |\n| --- | --- |\n{table}"


def _data(data: Mapping[str, Any]) -> str:
    facts = [str(data["name"])]
    if "images" in data:
        facts.append(f"{data['images']:,} images")
    facts += [str(data[key]) for key in ("provenance",) if key in data]
    facts += [f"fingerprint `{data['fingerprint']}`"] if "fingerprint" in data else []
    return ", ".join(facts)


def _versions(found: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(found.items()))


def _limits(card: Card) -> str:
    name = str(card.dataset.get("name", ""))
    content = DATASETS[name].content if name in DATASETS else None
    lines = [
        f"It answers every image with one of its {len(card.labels)} classes, whatever is on it.",
        "Its probabilities were not calibrated.",
        f"Its figures hold for images like those of its training{f' ({content})' if content else ''}.",
    ]
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _block(value: Any, indent: int = 0) -> list[str]:
    """YAML lines of nested dicts, lists, texts and numbers."""
    lines = []
    margin = " " * indent
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict | list):
                lines += [f"{margin}{key}:", *_block(item, indent + 2)]
            else:
                lines.append(f"{margin}{key}: {_scalar(item)}")
        return lines
    for item in value:
        inner = _block(item, indent + 2) if isinstance(item, dict) else [f"{margin}  {_scalar(item)}"]
        lines += [f"{margin}- {inner[0].lstrip()}", *inner[1:]]
    return lines


def _scalar(value: Any) -> str:
    """As it stands where YAML cannot take it for anything else; or as JSON, which is YAML, without what YAML does not print."""
    if isinstance(value, str) and (value in YAML_WORDS or not re.fullmatch(r"[a-z][a-z0-9./_-]*", value)):
        text = json.dumps(value, ensure_ascii=False)
        return re.sub("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text)
    return str(value)
