"""Runs with weights drawn at random, and one export of them that the tests share."""

import copy
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from safetensors.numpy import load_file

from nin_onnx import recipe
from nin_onnx.architecture import Shape
from nin_onnx.export import Export, export_run
from nin_onnx.export import to_onnx as stage
from nin_onnx.golden import Golden
from nin_onnx.train.checkpoint import Checkpoint, build_classifier, load_classifier, save_classifier
from nin_onnx.train.locally_connected import LocallyConnected2d

RunMaker = Callable[..., Path]
Result = dict[str, NDArray[np.float64]]
Contents = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """On a busy machine two threads wait on each other longer than one computes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def make_run() -> RunMaker:
    """Writes the run of an architecture whose weights, biases and preprocessing are random, and returns its folder."""

    fitted: dict[tuple[tuple[str, ...], Shape], dict[str, torch.Tensor]] = {}  # whitening takes a while

    def make(folder: Path, architecture: str = "nin-digits", preprocessing: tuple[str, ...] = ("scale", "standardize")) -> Path:
        table: dict[str, Any] = {
            "name": "random",
            "dataset": "digits",
            "preprocessing": preprocessing,
            "network": {"architecture": architecture, "last_relu": False},
            "train": {"epochs": 1},
            "optimizer": {"learning_rate": 0.1},
            "schedule": {"kind": "stepped"},
        }
        settings = recipe.from_dict(table, "the test's recipe")
        classifier = build_classifier(settings)
        random = torch.Generator().manual_seed(0)
        for layer in classifier.network.weighted():
            fan_in = layer.weight.shape[1] if isinstance(layer, LocallyConnected2d) else layer.weight[0].numel()
            torch.nn.init.normal_(layer.weight, 0, (2 / fan_in) ** 0.5, random)
            assert layer.bias is not None
            torch.nn.init.normal_(layer.bias, 0, 0.1, random)
        rows = classifier.network.architecture
        channels, height, width = rows.input
        if (preprocessing, rows.input) not in fitted:
            images = torch.randint(0, 200, (64, height, width, channels), dtype=torch.uint8, generator=random)
            classifier.preprocessing.fit(images)
            fitted[preprocessing, rows.input] = classifier.preprocessing.state_dict()
        classifier.preprocessing.load_state_dict(fitted[preprocessing, rows.input])
        labels = tuple(f"class {number}" for number in range(rows.classes))
        dataset = {"name": "digits", "split": "train", "images": 64, "provenance": "official", "fingerprint": "f" * 64}
        checkpoint = Checkpoint(settings, 0, labels, dataset, {"torch": "2.11.0"})
        folder.mkdir(parents=True)
        save_classifier(folder / "model.safetensors", classifier.state_dict(), checkpoint)
        return folder

    return make


@pytest.fixture(scope="session")
def run(make_run: RunMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("export") / "run")


@pytest.fixture(scope="session")
def exported(run: Path) -> Export:
    return export_run(run)


@pytest.fixture
def model(exported: Export) -> onnx.ModelProto:
    """The exported model, a copy for each test."""
    return onnx.load(exported.model)


@pytest.fixture(scope="session")
def exported_model(exported: Export) -> onnx.ModelProto:
    """The same, for tests that leave it as it is."""
    return onnx.load(exported.model)


@pytest.fixture(scope="session")
def golden(run: Path) -> Golden:
    classifier, _ = load_classifier(run / "model.safetensors")
    return stage.golden_vectors(classifier)


@pytest.fixture(scope="session")
def _raw(run: Path) -> onnx.ModelProto:
    classifier, _ = load_classifier(run / "model.safetensors")
    return stage.to_onnx(classifier)


@pytest.fixture
def raw(_raw: onnx.ModelProto) -> onnx.ModelProto:
    """The graph of `run` as torch writes it, a copy for each test."""
    return copy.deepcopy(_raw)


@pytest.fixture
def quick_export(raw: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `export_run` take the graph that torch wrote before: for tests of what comes after."""
    monkeypatch.setattr(stage, "to_onnx", lambda classifier: raw)


@pytest.fixture(scope="session")
def calculate(run: Path) -> Callable[[NDArray[np.uint8]], Result]:
    """What the network of `run` answers, calculated from its weights with NumPy in float64."""
    weights = {name: array.astype(np.float64) for name, array in load_file(run / "model.safetensors").items()}

    def conv(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        weight = weights[f"network.{name}.weight"]  # [out, in, k, k]
        side = weight.shape[2]
        padded = np.pad(x, [(0, 0), (0, 0), (side // 2,) * 2, (side // 2,) * 2])
        windows = sliding_window_view(padded, (side, side), (2, 3))  # [N, in, h, w, k, k]
        found: NDArray[np.float64] = np.einsum("nihwkl,oikl->nohw", windows, weight, optimize=True)
        return found + weights[f"network.{name}.bias"][:, None, None]

    def pool(x: NDArray[np.float64]) -> NDArray[np.float64]:
        """3×3, stride 2; the last window may reach past the border, where there is nothing."""
        side = x.shape[2]
        starts = range(0, side - 1, 2)
        rows = [x[:, :, start : start + 3].max(2) for start in starts]
        return np.stack([np.stack(rows, 2)[..., start : start + 3].max(-1) for start in starts], -1)

    def answer(images: NDArray[np.uint8]) -> Result:
        x = images.transpose(0, 3, 1, 2) / weights["preprocessing.scale.highest"]
        x = (x - weights["preprocessing.standardize.mean"]) / weights["preprocessing.standardize.std"]
        for block in (1, 2, 3):
            for name in (f"conv{block}", f"cccp{2 * block - 1}", f"cccp{2 * block}"):
                x = conv(x, name)
                if name != "cccp6":
                    x = np.maximum(x, 0)
            if block < 3:
                x = pool(x)
        logits = x.mean((2, 3))
        exponentials = np.exp(logits - logits.max(1, keepdims=True))
        return {"logits": logits, "probabilities": exponentials / exponentials.sum(1, keepdims=True), "class_maps": x}

    return answer


@pytest.fixture
def own_run(run: Path, tmp_path: Path) -> Path:
    """The run, alone in a folder of this test's own."""
    (tmp_path / "run").mkdir()
    shutil.copy(run / "model.safetensors", tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="session")
def contents() -> Contents:
    """All files below a folder, hidden ones too."""
    return lambda folder: {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
