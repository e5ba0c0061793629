"""A tiny classifier, its graph built by hand and its answers worked out in NumPy's float64, and a data set for it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from nin_onnx.card import Card, write_card
from nin_onnx.data.dataset import Dataset
from nin_onnx.golden import Golden, golden_images, write_golden
from nin_onnx.runtimes import EvalOptions, Report, evaluate
from nin_onnx.runtimes.backends.registry import RUNTIMES

HEIGHT, WIDTH, CHANNELS, CLASSES = 8, 6, 3, 4
NOISE = np.random.default_rng(7).normal(0, 1, (CLASSES, CHANNELS, 3, 3))
KERNEL = (NOISE - NOISE.mean((1, 2, 3), keepdims=True) + 0.05).astype(np.float32)  # no class is always ahead, none dead

CARD = Card(
    name="tiny",
    architecture="tiny",
    labels=("ant", "bee", "cat", "dog"),
    input="uint8 [batch, height, width, channels]",
    height=HEIGHT,
    width=WIDTH,
    channels=CHANNELS,
    preprocessing=(),
    recipe="by-hand",
    experiment="mnist",
    dataset={},
    golden="",
    weights="",
)


def answers(images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """What the classifier gives: a 3 × 3 convolution of pixels / 64, a ReLU, the mean of each map, softmax."""
    x = images.astype(np.float64) / 64
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))  # [N, h, w, C, 3, 3]
    maps = np.maximum(np.einsum("nhwcij,kcij->nkhw", windows, KERNEL.astype(np.float64)), 0)
    logits = maps.mean((2, 3))
    powers = np.exp(logits - logits.max(1, keepdims=True))
    outputs = {"logits": logits, "probabilities": powers / powers.sum(1, keepdims=True), "class_maps": maps}
    return {name: output.astype(np.float32) for name, output in outputs.items()}


def graph() -> onnx.ModelProto:
    """The same in ONNX's operators."""
    nodes = [
        helper.make_node("Transpose", ["images"], ["planar"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planar"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["pixels", "scale"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "kernel"], ["maps"]),
        helper.make_node("Relu", ["maps"], ["class_maps"]),
        helper.make_node("GlobalAveragePool", ["class_maps"], ["means"]),
        helper.make_node("Flatten", ["means"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", HEIGHT, WIDTH, CHANNELS])
    shapes: dict[str, list[Any]] = {
        "logits": ["batch", CLASSES],
        "probabilities": ["batch", CLASSES],
        "class_maps": ["batch", CLASSES, HEIGHT - 2, WIDTH - 2],
    }
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    weights = [numpy_helper.from_array(KERNEL, "kernel"), numpy_helper.from_array(np.array(64, np.float32), "scale")]
    model = helper.make_model(
        helper.make_graph(nodes, "tiny", [images], outputs, weights), opset_imports=[helper.make_opsetid("", 18)], ir_version=8
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def write(folder: Path, *, golden: bool = True, card: bool = True, digest: str | None = None, **changes: Any) -> Path:
    """The model folder as export writes it; `changes` are to its card, `digest` to the golden hash in it."""
    folder.mkdir(parents=True, exist_ok=True)
    images = golden_images(HEIGHT, WIDTH, CHANNELS)
    vectors = Golden(images, answers(images))
    if golden:
        write_golden(folder, vectors)
    model = graph()
    if card:
        write_card(model, replace(CARD, **{"golden": digest or vectors.hash, **changes}))
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture
def tiny_model(tmp_path: Path) -> Callable[..., Path]:
    """Writes the model folder, and gives the path of the model; keywords leave parts out, or change the card."""
    return lambda **changes: write(tmp_path / "tiny", **changes)


@pytest.fixture(scope="session")
def tiny_data() -> Callable[..., Dataset]:
    """Makes a data set of so many images on which the classifier is wrong just so often, from the first image on."""

    def make(images: int, errors: int = 0, name: str = "mnist") -> Dataset:
        shape = (images, HEIGHT, WIDTH, CHANNELS)
        pixels = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
        labels = answers(pixels)["logits"].argmax(1).astype(np.int64)
        labels[:errors] = (labels[:errors] + 1) % CLASSES
        return Dataset(name, "test", pixels, labels, CARD.labels, official=False)

    return make


@pytest.fixture(scope="session")
def tiny_golden() -> Golden:
    """The tiny classifier's golden vectors."""
    images = golden_images(HEIGHT, WIDTH, CHANNELS)
    return Golden(images, answers(images))


def registering(patch: pytest.MonkeyPatch, folder: Path) -> Callable[[str], str]:
    """Puts a class of made_up.py into the registry, where the worker process finds it too, and gives its name."""
    patch.syspath_prepend(Path(__file__).parent)
    patch.setenv("MADE_UP_IDS", str(folder / "ids"))

    def register(kind: str) -> str:
        patch.setitem(RUNTIMES, kind, f"made_up:{kind}")
        return kind

    return register


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], str]:
    """What `registering` says, until the test ends."""
    return registering(monkeypatch, tmp_path)


@pytest.fixture(scope="session")
def report_on(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Report]:
    """Evaluates the tiny model on ONNX Runtime and on made-up runtimes, for a report that several tests read."""

    def make(kinds: Sequence[str], **how: Any) -> Report:
        folder = tmp_path_factory.mktemp("report")
        with pytest.MonkeyPatch.context() as patch:
            names = ["onnxruntime", *map(registering(patch, folder), kinds)]
            return evaluate(write(folder), EvalOptions(runtimes=names, **how))

    return make
