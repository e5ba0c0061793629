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
from nin_onnx.paper import published
from nin_onnx.variants import FLOAT_INPUT

__all__ = ["render"]

YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}  # which are no text where they stand bare

HUB = {"mnist": "ylecun/mnist", "cifar10": "uoft-cs/cifar10", "cifar100": "uoft-cs/cifar100", "svhn": "ufldl-stanford/svhn"}
"""How the hub calls the data sets."""

EXPECTS = {
    "mnist": "light strokes on dark ground, one digit that fills the middle: invert a scan of ink on paper first",
    "digits": "light strokes on dark ground, one digit that fills the 8 × 8 pixels: invert a scan of ink on paper first",
    "svhn": "house numbers cut out of photographs, one digit in the middle",
    "cifar10": "small photographs with one thing in the middle",
    "cifar100": "small photographs with one thing in the middle",
}
"""What the images of a data set have in common."""

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
        _calls(card),
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
    if name in HUB:
        found["datasets"] = [HUB[name]]
    if card.test:
        test = str(card.test["name"])
        interval = f"95 %: {card.test['low']:.2f} to {card.test['high']:.2f}"
        found["metrics"] = ["accuracy"]
        found["model-index"] = [
            {
                "name": card.name,
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"type": HUB.get(test, test), "name": test, "split": str(card.test["split"])},
                        "metrics": [
                            {
                                "type": "accuracy",
                                "name": "accuracy",
                                "value": round(1 - card.test["errors"] / card.test["images"], 6),
                            },
                            {"type": "error", "name": f"test error, % ({interval})", "value": round(card.test["error"], 4)},
                        ],
                    }
                ],
            }
        ]
    return found


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


def _calls(card: Card) -> str:
    planar = card.input == FLOAT_INPUT
    sides = [card.channels, card.height, card.width] if planar else [card.height, card.width, card.channels]
    shape = ", ".join(map(str, (1, *sides)))
    count = " * ".join(map(str, sides))
    numpy, javascript, array, cpp = (
        ("float32", "float32", "Float32Array", "float") if planar else ("uint8", "uint8", "Uint8Array", "uint8_t")
    )
    return f"""## How to call it

Python (`pip install 'nin-onnx[cpu,images]'`), images of any size and mode:

```python
import nin_onnx

prediction = nin_onnx.Classifier("model.onnx")("image.png")
print(prediction.label, prediction.probability)
```

Python with ONNX Runtime alone:

```python
import json
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
card = json.loads(session.get_modelmeta().custom_metadata_map["nin_onnx.card"])
images = np.zeros(({shape}), np.{numpy})
(probabilities,) = session.run(["probabilities"], {{"images": images}})
print(card["labels"][probabilities[0].argmax()])
```

Node (`npm install onnxruntime-node`); in a web page the same with `onnxruntime-web`:

```js
import * as ort from "onnxruntime-node";

const session = await ort.InferenceSession.create("model.onnx");
const images = new ort.Tensor("{javascript}", new {array}({count}), [{shape}]);
const {{ probabilities }} = await session.run({{ images }});
console.log(probabilities.data.indexOf(Math.max(...probabilities.data)));
```

C++:

```cpp
#include <onnxruntime_cxx_api.h>
#include <algorithm>
#include <iostream>
#include <vector>

int main() {{
  Ort::Env env;
  Ort::Session session(env, ORT_TSTR("model.onnx"), Ort::SessionOptions{{}});
  std::vector<{cpp}> pixels({count});
  const int64_t shape[] = {{{shape}}};
  const char* in[] = {{"images"}};
  const char* out[] = {{"probabilities"}};
  auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  auto images = Ort::Value::CreateTensor<{cpp}>(memory, pixels.data(), pixels.size(), shape, 4);
  auto answer = session.Run(Ort::RunOptions{{}}, in, &images, 1, out, 1);
  const float* p = answer[0].GetTensorData<float>();
  std::cout << std::max_element(p, p + {len(card.labels)}) - p << std::endl;
}}
```"""


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
    lines = [
        f"It answers every image with one of its {len(card.labels)} classes, whatever is on it.",
        "Its probabilities were not calibrated.",
        f"Its figures hold for images like those of its training{f' ({EXPECTS[name]})' if name in EXPECTS else ''}.",
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
