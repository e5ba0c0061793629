"""The fused operations against autograd in float64: their plain twins, and the kernels, by Triton's interpreter or on a GPU."""

import importlib
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nin_onnx import recipe as recipes
from nin_onnx.architecture import ARCHITECTURES
from nin_onnx.recipe import AugmentationSettings
from nin_onnx.train import device, fused_convolution
from nin_onnx.train.augmentation import augment, draw
from nin_onnx.train.checkpoint import build_classifier
from nin_onnx.train.dropout import SeededDropout
from nin_onnx.train.examples import Examples
from nin_onnx.train.fused import FusedNetwork
from nin_onnx.train.fused_convolution import relu_backward
from nin_onnx.train.fused_pooling import Pooling, pooled
from nin_onnx.train.learner import Learner
from nin_onnx.train.network import Network, channels_last

KEYS = (0, 98765432109876543, -1234567890123456789)
POOLS = [
    Pooling(kernel, stride, relu, dropout)
    for kernel, stride in ((3, 2), (2, 2), (3, 1))
    for relu in (False, True)
    for dropout in (None, SeededDropout(0.5), SeededDropout(0.3, "test"))
]


DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(params=["plain", "kernel"], autouse=True)
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both forms of each operation."""
    kernels = None
    if request.param == "kernel":
        pytest.importorskip("triton", reason="Triton comes with torch for NVIDIA GPUs")
        kernels = importlib.import_module("nin_onnx.train.kernels")
    monkeypatch.setattr(device, "kernels_for", lambda x: kernels)
    return str(request.param)


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Float32 noise, channels last if it has four dimensions."""
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)
    return made.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else made


def gradients(call: Callable[..., Tensor], *given: Tensor) -> list[Tensor]:
    """What `call` gives, and the gradient of each of its arguments when noise comes back."""
    leaves = [one.detach().clone(memory_format=torch.preserve_format).requires_grad_() for one in given]
    result = call(*leaves)
    back = noise(*result.shape, seed=9).to(result.dtype)
    return [result.detach(), *torch.autograd.grad(result, leaves, back)]


def assert_near(found: list[Tensor], truth: list[Tensor], tolerance: float = 1e-5) -> None:
    """Float32's rounding of sums, and nothing else; with 1e-2, bf16's rounding of results."""
    for one, other in zip(found, truth, strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=tolerance, atol=tolerance * float(other.abs().max()))


@pytest.mark.parametrize("channels", [1, 10, 96, 160])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_gradients_before_a_relu_and_of_a_bias_are_those_of_float64(dtype: torch.dtype, relu: bool, channels: int) -> None:
    """In bf16 too, since what is summed there is summed in float32."""
    before, gradient = (noise(5, channels, 6, 7, seed=seed).to(dtype) for seed in (0, 1))
    x = before.double().requires_grad_()
    bias = torch.zeros(channels, dtype=torch.float64, device=DEVICE, requires_grad=True)
    result = x + bias.view(-1, 1, 1)
    result = result.relu() if relu else result
    truth = torch.autograd.grad(result, (x, bias), gradient.double())
    assert_near([*relu_backward(gradient, before.relu() if relu else None)], [*truth])


def plainly_pooled(x: Tensor, bias: Tensor, pooling: Pooling) -> Tensor:
    """What `pooled` stands for, by PyTorch's own operations."""
    x = functional.max_pool2d(x + bias.view(-1, 1, 1), pooling.kernel, pooling.stride, ceil_mode=True)
    x = x.relu() if pooling.relu else x
    return pooling.dropout(x) if pooling.dropout else x


@pytest.mark.parametrize("size", [(7, 9), (8, 8), (5, 4)])
@pytest.mark.parametrize("pooling", POOLS, ids=str)
def test_pooled_numbers_and_their_gradients_are_those_of_float64(pooling: Pooling, size: tuple[int, int]) -> None:
    if pooling.dropout:
        pooling.dropout.key = torch.tensor(KEYS[1], device=DEVICE)
        pooling.dropout.train()
    x, bias = noise(3, 10, *size), 0.3 * noise(10, seed=1)
    truth = gradients(lambda x, bias: plainly_pooled(x, bias, pooling), x.double(), bias.double())
    assert_near(gradients(lambda x, bias: pooled(x, bias, pooling), x, bias), truth)


@pytest.mark.parametrize("pooling", POOLS[:6], ids=str)
def test_pooling_in_bf16_is_that_of_float64_but_for_the_rounding_of_its_results(pooling: Pooling) -> None:
    if pooling.dropout:
        pooling.dropout.key = torch.tensor(KEYS[2], device=DEVICE)
        pooling.dropout.train()
    x, bias = noise(3, 10, 7, 9).bfloat16(), 0.3 * noise(10, seed=1)
    truth = gradients(lambda x, bias: plainly_pooled(x, bias, pooling), x.double(), bias.double())
    assert_near(gradients(lambda x, bias: pooled(x, bias, pooling), x, bias), truth, tolerance=1e-2)


def test_a_pool_keeps_a_number_that_is_none() -> None:
    x = noise(1, 4, 6, 6)
    x[0, 1, 2, 2] = torch.nan
    result = pooled(x, torch.zeros(4, device=DEVICE), Pooling(3, 2, True, None))
    assert result.isnan().any(3).any(2).tolist() == [[False, True, False, False]]


@pytest.mark.parametrize(("kernel", "channels"), [(1, 10), (1, 16), (3, 6), (5, 4)])
@pytest.mark.parametrize(("bias", "relu"), [(False, False), (True, False), (True, True)])
def test_convolutions_are_those_of_float64(kernel: int, channels: int, bias: bool, relu: bool) -> None:
    layer = nn.Conv2d(8, channels, kernel, padding=kernel // 2, device=DEVICE)

    def plainly(x: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
        result = functional.conv2d(x, weight, shift if bias else shift * 0, padding=kernel // 2)
        return result.relu() if relu else result

    def ours(x: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
        given: Tensor = fused_convolution._Convolution.apply(x, weight, shift if bias else None, relu)
        return given if bias else given + 0 * shift.sum()

    assert layer.bias is not None
    given = (noise(2, 8, 6, 5), layer.weight, layer.bias)
    assert_near(gradients(ours, *given), gradients(plainly, *(one.double() for one in given)))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "settings",
    [AugmentationSettings(), AugmentationSettings(4), AugmentationSettings(0, True), AugmentationSettings(2, True)],
    ids=str,
)
def test_patches_are_what_the_first_convolution_sees_of_the_cropped_and_flipped_images(
    settings: AugmentationSettings, key: int
) -> None:
    network = channels_last(Network(ARCHITECTURES["nin-cifar10"], last_relu=True, dropout=0)).to(DEVICE)
    images, rows = noise(9, 3, 12, 10).contiguous(), torch.tensor([3, 8, 0, 3], device=DEVICE)
    seen = augment(images[rows], settings, draw(settings, key, slice(0, 4), images.device))
    expected = functional.conv2d(seen.double(), network.get_parameter("conv1.weight").double(), padding=2)
    patches, _ = FusedNetwork(network, settings, torch.float32)._patches(images, rows, torch.tensor(key, device=DEVICE))
    matrix = network.get_parameter("conv1.weight").double().permute(0, 2, 3, 1).flatten(1)
    found = patches.double()[:, : matrix.shape[1]] @ matrix.T
    assert patches.shape == (4 * 12 * 10, 80)
    assert not patches[:, 75:].any()
    torch.testing.assert_close(found.view(4, 12, 10, -1).permute(0, 3, 1, 2), expected)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_a_fused_network_gives_the_answers_and_gradients_of_its_modules(name: str) -> None:
    architecture = ARCHITECTURES[name]
    if architecture.input[1] > 8:  # the interpreter does some thousand numbers a millisecond
        architecture = architecture.adapted((architecture.input[0], 9, 9), architecture.classes)
    network = channels_last(Network(architecture, last_relu=True, dropout=0.5)).to(DEVICE)
    for number, dropout in enumerate(network.dropouts()):
        dropout.key = torch.tensor(KEYS[number % 3], device=DEVICE)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.1 * noise(*parameter.shape, seed=parameter.numel()))
    network.train()
    settings, key, rows = (
        AugmentationSettings(2, True),
        torch.tensor(KEYS[2], device=DEVICE),
        torch.tensor([2, 0, 2], device=DEVICE),
    )
    images = noise(3, *architecture.input).contiguous()
    names, parameters = zip(*network.named_parameters(), strict=True)
    answer = FusedNetwork(network, settings, torch.float32)(images, rows, key)
    found = [answer.detach(), *torch.autograd.grad(answer, parameters, noise(*answer.shape, seed=3))]
    exact = network.double()
    seen = augment(images[rows], settings, draw(settings, key, slice(0, 3), images.device)).double()
    expected = exact(seen)
    truth = [expected.detach(), *torch.autograd.grad(expected, list(exact.parameters()), noise(*answer.shape, seed=3).double())]
    assert len(names) == len(found) - 1
    assert_near(found, truth)


@pytest.mark.parametrize("name", ["cifar10-augmented-modern", "mnist"])
def test_a_fused_update_of_a_learner_has_the_gradients_of_the_plain_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the preprocessing leaves the images in memory."""
    recipe = recipes.load(name, ["train.precision=fp32", "train.batch_size=2", "train.micro_batch=2"])
    channels, height, width = recipe.table().input
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, height, width, channels), dtype=torch.uint8, generator=generator)
    classifier = build_classifier(recipe)
    classifier.preprocessing.fit(images)
    learner = Learner(recipe, classifier, DEVICE, deterministic=True)
    learner.capture(lambda line: None)
    learner.begin(1)
    learner.set_examples(Examples(images.to(DEVICE), torch.arange(4, device=DEVICE)))
    learner.augmentation_key.fill_(KEYS[1])
    for key in learner.keys:
        key.fill_(KEYS[2])
    monkeypatch.setattr(learner, "_apply_gradients", lambda: None)
    learner.network.train()
    found = []
    for update in (learner._fused_update, learner._exact_update):
        learner.network.zero_grad()
        loss, wrong = update(torch.tensor([3, 0], device=DEVICE))
        gradients = [parameter.grad.clone() for parameter in learner.network.parameters() if parameter.grad is not None]
        found.append([loss.detach(), wrong, *gradients])
    assert len(found[0]) == 2 + len(list(learner.network.parameters()))
    for one, other in zip(*found, strict=True):
        assert float((one - other).float().norm()) <= 1e-4 * float(other.float().norm())
