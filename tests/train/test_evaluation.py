"""Counting errors."""

import pytest
import torch

from nin_onnx.architecture import ARCHITECTURES
from nin_onnx.recipe import NetworkSettings
from nin_onnx.train.evaluation import count_errors
from nin_onnx.train.initialization import initialize
from nin_onnx.train.network import Network, TorchClassifier
from nin_onnx.train.preprocessing import build


@pytest.fixture
def classifier() -> TorchClassifier:
    network = Network(ARCHITECTURES["nin-digits"], last_relu=False, dropout=0.5)
    initialize(network, NetworkSettings("any", initialization="he"), torch.Generator().manual_seed(0))
    return TorchClassifier(build(("scale",), (1, 8, 8)), network)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(0, 256, (37, 8, 8, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("batch", [1, 10, 37, 256])
def test_the_count_is_that_of_single_images_in_float64(classifier: TorchClassifier, images: torch.Tensor, batch: int) -> None:
    labels = torch.arange(37) % 10
    found = count_errors(classifier, images, labels, batch=batch)
    exact = classifier.double().eval()
    right = sum(int(exact(image[None]).logits.argmax()) == label for image, label in zip(images, labels, strict=True))
    assert 0 < right < 37
    assert found == 37 - right


def test_images_that_all_have_the_networks_answer_for_label_make_no_error(
    classifier: TorchClassifier, images: torch.Tensor
) -> None:
    answers = classifier.eval()(images).logits.argmax(1)
    assert count_errors(classifier, images, answers) == 0
    assert count_errors(classifier, images, (answers + 1) % 10) == 37


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_meanwhile_and_the_mode_is_left_as_it_was(
    classifier: TorchClassifier, images: torch.Tensor, training: bool
) -> None:
    answers = classifier.eval()(images).logits.argmax(1)
    classifier.train(training)
    assert count_errors(classifier, images, answers) == 0
    assert {module.training for module in classifier.modules()} == {training}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_convolutions_compute_in_the_type_that_is_asked_for(
    classifier: TorchClassifier, images: torch.Tensor, dtype: torch.dtype
) -> None:
    seen: list[torch.dtype] = []
    layers = classifier.network.weighted()
    for layer in layers:
        layer.register_forward_hook(lambda module, given, result: seen.append(result.dtype))
    count_errors(classifier, images, torch.arange(37) % 10, dtype)
    assert seen == [dtype] * len(layers)


def test_bf16_counts_almost_the_same(classifier: TorchClassifier, images: torch.Tensor) -> None:
    answers = classifier.eval()(images).logits.argmax(1)
    assert count_errors(classifier, images, answers, torch.bfloat16) <= 3
