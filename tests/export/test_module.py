"""A user's own torch classifier: a small residual network, which knows nothing of nin-onnx."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nin_onnx.card import read_card
from nin_onnx.errors import ExportError, ModelError, NinOnnxError, RunError
from nin_onnx.export import Export, export
from nin_onnx.golden import read_golden
from nin_onnx.runtimes import EvalOptions, evaluate

LABELS = ("ant", "bee", "cat", "dog", "elk")
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
EXAMPLE = torch.zeros(1, 3, 24, 20)


class Block(nn.Module):
    """Two convolutions with batch normalization, and what came in added to what they make."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return torch.relu(inner + self.shortcut(x))


class TinyResNet(nn.Module):
    """Float [N, 3, height, width] to scores [N, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.layer1 = Block(8, 16, 2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(16, len(LABELS))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.layer1(self.stem(x))).flatten(1)
        scores: Tensor = self.fc(self.dropout(x))
        return scores


class OfBytes(nn.Module):
    """uint8 [N, height, width, 3] to the same; what is done to the pixels first is its own."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(STD)[:, None, None])

    def forward(self, images: Tensor) -> Any:
        pixels = images.permute(0, 3, 1, 2).to(self.mean.dtype) / 255
        return self.network((pixels - self.mean) / self.std)


class Maps(nn.Module):
    """Class maps, as networks with global average pooling have them."""

    def __init__(self, network: TinyResNet) -> None:
        super().__init__()
        self.network = network
        self.maps = nn.Conv2d(16, len(LABELS), 1)

    def forward(self, x: Tensor) -> Any:
        return self.maps(self.network.layer1(self.network.stem(x)))


@pytest.fixture(scope="module")
def network() -> TinyResNet:
    """In training mode, with random statistics in its batch normalizations."""
    torch.manual_seed(0)
    made = TinyResNet()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)  # type: ignore[union-attr] # it tracks them
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return made.train()


@pytest.fixture(scope="module")
def own(network: TinyResNet, tmp_path_factory: pytest.TempPathFactory) -> Export:
    out = tmp_path_factory.mktemp("own") / "model"
    return export(network, EXAMPLE, out, name="tiny-resnet", labels=LABELS, mean=MEAN, std=STD, license="MIT", bundles=["triton"])


@pytest.fixture
def answer(network: TinyResNet) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """What the network says of raw pixels, in float64, prepared by hand."""

    def calculate(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        pixels = (images.transpose(0, 3, 1, 2) / 255 - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]
        network.eval().double()
        with torch.inference_mode():
            found: NDArray[np.float64] = network(torch.from_numpy(pixels)).numpy()
        network.train().float()
        return found

    return calculate


def run(model: Path, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": images}), strict=True))


@pytest.mark.parametrize("batch", [1, 5])
def test_the_graph_takes_raw_pixels_and_answers_as_the_module_does_on_prepared_ones(
    batch: int, own: Export, answer: Callable[[NDArray[np.uint8]], NDArray[np.float64]]
) -> None:
    images = np.random.default_rng(batch).integers(0, 256, (batch, 24, 20, 3), np.uint8)
    expected = answer(images)
    found = run(own.model, images)
    assert list(found) == ["logits", "probabilities"]
    assert np.abs(found["logits"] - expected).max() <= 1e-5 * np.abs(expected).max()
    powers = np.exp(expected)
    np.testing.assert_allclose(found["probabilities"], powers / powers.sum(1, keepdims=True), atol=1e-6)


def test_eval_passes_on_what_was_exported(own: Export) -> None:
    report = evaluate(own.model, EvalOptions(runtimes=["onnxruntime", "reference", "pytorch"]))
    assert {row.runtime: row.outcome for row in report.rows} == {
        "onnxruntime": "pass",
        "reference": "pass",
        "pytorch": "skipped",  # what trained it is not ours to load
    }
    assert report.golden is not None
    assert report.golden["references"] is None  # its own golden vectors, from PyTorch


def test_the_passes_went_over_it(own: Export) -> None:
    model = onnx.load(own.model)
    onnx.checker.check_model(model, full_check=True)
    assert {"Conv", "Relu", "MaxPool", "Add", "Gemm", "Softmax"} <= {node.op_type for node in model.graph.node}
    assert not {"BatchNormalization", "Identity", "Dropout"} & {node.op_type for node in model.graph.node}
    names = {node.name for node in model.graph.node}
    assert {"scale", "standardize", "layer1.conv1", "layer1.shortcut", "pool1", "fc"} <= names
    assert (model.ir_version, model.producer_name, model.graph.name) == (8, "nin-onnx", "tiny-resnet")


def test_the_card_says_what_was_told_and_no_more(own: Export) -> None:
    card = read_card(onnx.load(own.model))
    assert card == own.card
    assert (card.name, card.architecture, card.labels, card.license) == ("tiny-resnet", "TinyResNet", LABELS, "MIT")
    assert (card.height, card.width, card.channels) == (24, 20, 3)
    assert card.preprocessing == ("scale", "standardize")
    assert (card.recipe, card.experiment, card.dataset, card.weights, card.test) == ("", None, {}, "", None)
    golden = read_golden(own.model.parent)
    assert golden is not None
    assert card.golden == golden.hash
    readme = (own.model.parent / "README.md").read_text()
    assert "# tiny-resnet" in readme
    assert "network-in-network" not in readme


def test_the_folder_holds_graph_card_vectors_and_bundle(own: Export) -> None:
    assert {path.name for path in own.model.parent.iterdir()} == {"README.md", "model.onnx", "test_data_set_0", "triton"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_module_stays_as_it_was_and_a_second_export_takes_the_place_of_the_first_with_the_same_bytes(
    network: TinyResNet, tmp_path: Path, own: Export
) -> None:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    shutil.copytree(own.model.parent, tmp_path / "model")
    again = export(network, EXAMPLE, tmp_path / "model", name="tiny-resnet", labels=LABELS, mean=MEAN, std=STD, license="MIT")
    assert not (tmp_path / "model" / "triton").exists()
    assert hashlib.sha256(again.model.read_bytes()).digest() == hashlib.sha256(own.model.read_bytes()).digest()
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_module_that_takes_bytes_gets_them_as_they_are(
    network: TinyResNet, tmp_path: Path, answer: Callable[[NDArray[np.uint8]], NDArray[np.float64]]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 24, 20, 3), np.uint8)
    result = export(OfBytes(network), images, tmp_path / "model", name="of-bytes", labels=LABELS)
    assert result.card.preprocessing == ()
    expected = answer(images)
    assert np.abs(run(result.model, images)["logits"] - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_class_maps_come_out_where_the_module_gives_them(network: TinyResNet, tmp_path: Path) -> None:
    result = export(Maps(network), EXAMPLE, tmp_path / "model", name="maps", labels=LABELS)
    found = run(result.model, np.full((2, 24, 20, 3), 7, np.uint8))
    assert found["class_maps"].shape == (2, 5, 6, 5)
    np.testing.assert_allclose(found["class_maps"].mean((2, 3)), found["logits"], rtol=1e-4, atol=1e-5)
    assert result.card.preprocessing == ("scale",)


class Casts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, len(LABELS))

    def forward(self, images: Tensor) -> Any:
        return self.fc(images.float().flatten(1))


class Decides(Casts):
    def forward(self, images: Tensor) -> Any:
        return self.fc(images.flatten(1) if images.sum() > 3 else 2 * images.flatten(1))


class GivesTwo(Casts):
    def forward(self, images: Tensor) -> Any:
        scores = self.fc(images.flatten(1))
        return scores, scores


SMALL = torch.zeros(1, 3, 2, 2)
BYTES = torch.zeros(1, 2, 2, 3, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("module", "example", "settings", "error", "says"),
    [
        (Casts(), BYTES, {}, ModelError, r"does not answer images in float64 \(.*\): it should take what the example is"),
        (GivesTwo(), SMALL, {}, ModelError, r"one tensor of scores$"),
        (Decides(), SMALL, {}, ExportError, r"^torch cannot export the module \(.*\): nothing is written"),
        (TinyResNet(), EXAMPLE, {"labels": LABELS[:4]}, ModelError, r"of shape '\[2, 5\]' for 2 images, expected '\[2, 4\]'"),
        (TinyResNet(), EXAMPLE[0], {}, ModelError, r"the example is 'float32 \[3, 24, 20\]', it should be uint8"),
        (TinyResNet(), EXAMPLE.long(), {}, ModelError, r"the example is 'int64 "),
        (TinyResNet(), EXAMPLE.permute(0, 2, 3, 1), {}, ModelError, r"the example has 24 channels, images have 1 or 3"),
        (TinyResNet(), EXAMPLE, {"mean": (0.5,)}, ModelError, r"'mean' is '\[0.5\]', expected a number for each of 3 channels"),
        (TinyResNet(), EXAMPLE, {"std": (1, 0, 1)}, ModelError, r"'std' is '\[1, 0, 1\]', expected a number above 0"),
        (OfBytes(TinyResNet()), BYTES, {"mean": MEAN}, ModelError, r"mean and std were given for a module that takes uint8"),
        (
            OfBytes(TinyResNet()),
            BYTES,
            {"std": np.array(STD)},
            ModelError,
            r"mean and std were given for a module that takes uint8",
        ),
        (TinyResNet(), EXAMPLE, {"labels": range(5)}, ModelError, r"the labels are '\[0, 1, 2, 3, 4\]', expected text for each"),
        (TinyResNet(), EXAMPLE, {"name": "../x"}, ModelError, r"the name is '\.\./x', expected a letter or digit"),
    ],
)
def test_what_cannot_be_exported_is_an_error_of_one_line_and_no_file(
    module: nn.Module, example: Tensor, settings: dict[str, Any], error: type[NinOnnxError], says: str, tmp_path: Path
) -> None:
    arguments = {"name": "wrong", "labels": LABELS} | settings
    with pytest.raises(error, match=says) as caught:
        export(module, example, tmp_path / "model", **arguments)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_something_else_is_refused(network: TinyResNet, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="choose another --out"):
        export(network, EXAMPLE, tmp_path, name="tiny", labels=LABELS)
