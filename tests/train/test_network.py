"""The network: against one composed by hand from torch.nn, in float64."""

from dataclasses import replace
from itertools import pairwise
from typing import Literal

import pytest
import scipy.stats
import torch
from torch import Tensor, nn
from torch.nn import functional

from nin_onnx import recipe
from nin_onnx.architecture import ARCHITECTURES
from nin_onnx.recipe import NetworkSettings
from nin_onnx.train.initialization import initialize
from nin_onnx.train.locally_connected import LocallyConnected2d
from nin_onnx.train.network import Network, TorchClassifier, channels_last, decisions
from nin_onnx.train.preprocessing import build

HE = NetworkSettings("any", initialization="he")

# Per mlpconv layer: kernel of the convolution, its channels, those of the two cccp layers (paper's released definitions).
PAPER = {
    "nin-cifar10": (3, ((5, 192, 160, 96), (5, 192, 192, 192), (3, 192, 192, 10))),
    "nin-cifar100": (3, ((5, 192, 160, 96), (5, 192, 192, 192), (3, 192, 192, 100))),
    "nin-svhn": (3, ((5, 128, 96, 64), (5, 320, 256, 128), (5, 384, 256, 10))),
    "nin-mnist": (1, ((5, 96, 64, 48), (5, 128, 96, 48), (5, 128, 96, 10))),
    "nin-digits": (1, ((3, 32, 32, 32), (3, 64, 64, 64), (3, 64, 64, 10))),
}


class PoolEvenSize(nn.Module):
    """3×3 pooling with stride 2 in ceil mode, for even sizes: the last window ends one pixel past the border."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)


def by_hand(name: str, last_relu: bool) -> nn.Sequential:
    channels, mlpconvs = PAPER[name]
    modules: list[nn.Module] = []
    for kernel, conv, first, second in mlpconvs:
        modules += [nn.Conv2d(channels, conv, kernel, padding=kernel // 2), nn.ReLU()]
        modules += [nn.Conv2d(conv, first, 1), nn.ReLU(), nn.Conv2d(first, second, 1), nn.ReLU(), PoolEvenSize()]
        channels = second
    return nn.Sequential(*modules[: -1 if last_relu else -2])


def made(name: str, *, last_relu: bool = True, dropout: float = 0.5, kind: Literal["normal", "he"] = "he") -> Network:
    network = Network(ARCHITECTURES[name], last_relu=last_relu, dropout=dropout)
    initialize(network, NetworkSettings("", initialization=kind), torch.Generator().manual_seed(0))
    return network


@pytest.mark.parametrize("name", PAPER)
def test_parameters_have_the_papers_names_and_shapes(name: str) -> None:
    channels, mlpconvs = PAPER[name]
    expected: dict[str, tuple[int, ...]] = {}
    for number, (kernel, conv, first, second) in enumerate(mlpconvs, 1):
        expected[f"conv{number}.weight"] = (conv, channels, kernel, kernel)
        expected[f"cccp{2 * number - 1}.weight"] = (first, conv, 1, 1)
        expected[f"cccp{2 * number}.weight"] = (second, first, 1, 1)
        channels = second
    expected |= {key.replace("weight", "bias"): shape[:1] for key, shape in expected.items()}
    found = {key: tuple(value.shape) for key, value in made(name).state_dict().items()}
    assert found == expected


@pytest.mark.parametrize("last_relu", [True, False])
@pytest.mark.parametrize("name", PAPER)
def test_the_answer_is_that_of_a_network_composed_by_hand(name: str, last_relu: bool) -> None:
    random = torch.Generator().manual_seed(1)
    network = made(name, last_relu=last_relu).double().eval()
    for convolution in network.weighted():
        assert convolution.bias is not None
        nn.init.normal_(convolution.bias, std=0.1, generator=random)
    reference = by_hand(name, last_relu).double()
    reference.load_state_dict(dict(zip(reference.state_dict(), network.state_dict().values(), strict=True)))
    x = torch.randn(2, *ARCHITECTURES[name].input, dtype=torch.float64, generator=random)
    with torch.inference_mode():
        found, expected = network(x), reference(x)
    assert (expected < 0).any() != last_relu  # what is compared shows whether there is a last ReLU
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["nin-digits", "nin-mnist"])
def test_training_without_dropout_gives_the_same_answer_in_both_memory_formats(name: str) -> None:
    network = made(name, dropout=0).double().train()
    x = torch.randn(3, *ARCHITECTURES[name].input, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = network(x)
    found = channels_last(network)(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_logits_are_the_means_of_the_class_maps_and_probabilities_their_softmax() -> None:
    classifier = TorchClassifier(build(("scale",), (1, 8, 8)), made("nin-digits")).double().eval()
    images = torch.randint(0, 256, (5, 8, 8, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        logits, probabilities, maps = classifier(images)
        expected = classifier.network(images.double().permute(0, 3, 1, 2) / 255)
    torch.testing.assert_close(maps, expected)
    assert maps.shape == (5, 10, 2, 2)
    torch.testing.assert_close(logits, expected.flatten(2).sum(2) / 4)
    torch.testing.assert_close(probabilities, logits.exp() / logits.exp().sum(1, keepdim=True))


def test_the_classifier_gives_float32_whatever_the_pixels() -> None:
    classifier = TorchClassifier(build(("scale", "standardize"), (1, 8, 8)), made("nin-digits")).eval()
    assert {output.dtype for output in classifier(torch.zeros(1, 8, 8, 1, dtype=torch.uint8))} == {torch.float32}


@pytest.mark.parametrize("name", ["nin-cifar10", "nin-mnist"])
def test_normal_weights_have_the_std_of_the_recipe_and_he_weights_that_of_their_fan_in(name: str) -> None:
    kinds: tuple[Literal["normal", "he"], ...] = ("normal", "he")
    for kind in kinds:
        *others, last = made(name, kind=kind).weighted()
        for layer in (*others, last):
            assert layer.bias is not None
            assert not layer.bias.any()
            assert isinstance(layer, nn.Conv2d)
            fan_in = layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
            expected = 0.05 if kind == "normal" else (2 / fan_in) ** 0.5 * (0.1 if layer is last else 1)
            numbers = layer.weight.detach().flatten().double() / expected
            margin = 4 / len(numbers) ** 0.5  # 4 standard errors of the mean, more than 5 of the std
            assert abs(numbers.mean()) < margin
            assert abs(numbers.std() - 1) < margin
            assert scipy.stats.kstest(numbers.numpy(), "norm").pvalue > 1e-4


def test_the_layers_of_a_network_draw_different_weights() -> None:
    middle = [layer.weight.detach().flatten()[:10] for layer in made("nin-cifar10", kind="normal").weighted()]
    assert not any(torch.equal(one, other) for one, other in pairwise(middle))


def test_the_generator_alone_decides_the_first_weights() -> None:
    networks = [channels_last(Network(ARCHITECTURES["nin-digits"], last_relu=True, dropout=0)) for _ in range(3)]
    for network, seed in zip(networks, (1, 1, 2), strict=True):
        torch.manual_seed(seed + 10 * id(network))
        initialize(network, HE, torch.Generator().manual_seed(seed))
    one, same, other = (torch.cat([weight.flatten() for weight in network.parameters()]) for network in networks)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_the_first_weights_are_the_same_on_every_device() -> None:
    cpu, cuda = (channels_last(Network(ARCHITECTURES["nin-digits"], last_relu=True, dropout=0)).to(on) for on in ("cpu", "cuda"))
    for network in (cpu, cuda):
        initialize(network, HE, torch.Generator().manual_seed(1))
    for one, other in zip(cpu.parameters(), cuda.parameters(), strict=True):
        assert torch.equal(one, other.cpu())


def test_the_last_maps_go_through_a_relu_in_front_of_a_fully_connected_layer_whatever_the_recipe_says() -> None:
    """Table 5: only the pooling is replaced; its last layer has no ReLU, since its outputs are the logits."""
    for last_relu in (True, False):
        names = [name for name, _ in made("nin-cifar10-fc", last_relu=last_relu).named_children()]
        assert names[-4:] == ["cccp6", "cccp6_relu", "fc_flatten", "fc"]
        dropped = [name for name, _ in made("nin-cifar10-fc-dropout", last_relu=last_relu).named_children()]
        assert dropped[-4:] == ["cccp6_relu", "drop3", "fc_flatten", "fc"]


@pytest.mark.parametrize("name", ["nin-cifar10-fc", "nin-cifar10-fc-dropout"])
def test_a_fully_connected_head_is_a_linear_layer_over_all_maps_in_pytorchs_order(name: str) -> None:
    random = torch.Generator().manual_seed(1)
    network, body = made(name).double().eval(), by_hand("nin-cifar10", last_relu=True).double()
    state = network.state_dict()
    body.load_state_dict(dict(zip(body.state_dict(), [value for key, value in state.items() if "fc" not in key], strict=True)))
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=random)
    with torch.inference_mode():
        expected = body(x).reshape(2, 640) @ state["fc.weight"].T + state["fc.bias"]
        torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)


def test_a_locally_connected_layer_is_a_convolution_with_other_weights_at_every_position() -> None:
    random = torch.Generator().manual_seed(4)
    layer = LocallyConnected2d(3, 5, 3, 4, 6).double()
    nn.init.normal_(layer.weight, generator=random)
    nn.init.normal_(layer.bias, generator=random)
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64, generator=random)
    expected = torch.empty(2, 5, 4, 6, dtype=torch.float64)
    for row in range(4):
        for column in range(6):
            kernel = layer.weight[row * 6 + column].reshape(3, 3, 3, 5).permute(3, 2, 0, 1)  # [5, 3, row, column]
            everywhere = functional.conv2d(x, kernel, padding=1)
            expected[:, :, row, column] = everywhere[:, :, row, column] + layer.bias[:, row, column]
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def test_the_conventional_networks_compose_the_layers_of_section_4_6() -> None:
    names = [name for name, _ in made("cnn-fc-dropout").named_children()]
    assert names == [
        *("conv1", "conv1_relu", "pool1", "conv2", "conv2_relu", "pool2", "conv3", "conv3_relu", "pool3"),
        *("local4", "local4_relu", "drop4", "fc_flatten", "fc"),
    ]


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if "svhn" not in name])
def test_the_order_for_training_gives_the_same_bits_and_gradients(name: str) -> None:
    network = made(name, dropout=0).train()
    x = torch.randn(2, *ARCHITECTURES[name].input, generator=torch.Generator().manual_seed(5))
    results = []
    for module in (network, network.for_training()):
        answer = module(x)
        gradients = torch.autograd.grad(answer.square().sum(), list(network.parameters()))
        results.append((answer, *gradients))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    kinds = [type(module) for module in network.for_training()]
    assert (nn.ReLU, nn.MaxPool2d) not in set(pairwise(kinds))


@pytest.mark.parametrize("name", ["nin-cifar10-fc", "cnn-gap", "cnn-fc"])
def test_class_maps_are_answered_only_where_their_mean_is_the_logit(name: str) -> None:
    table = ARCHITECTURES[name]
    classifier = TorchClassifier(build(("scale",), table.input), made(name)).eval()
    with torch.inference_mode():
        outputs = classifier(torch.zeros(2, 32, 32, 3, dtype=torch.uint8))
    assert set(outputs._fields) == {"logits", "probabilities"} | ({"class_maps"} if name == "cnn-gap" else set())
    assert outputs.logits.shape == (2, 10)


def test_layers_with_a_std_of_their_own_have_it() -> None:
    """CIFAR-100's released first weights: conv1 .001, cccp1 and cccp2 .01, the rest .05."""
    network = Network(ARCHITECTURES["nin-cifar100"], last_relu=True, dropout=0.5)
    released = ["network.layer_std={conv1 = 0.001, cccp1 = 0.01, cccp2 = 0.01}"]
    initialize(network, recipe.load("cifar100", released).network, torch.Generator().manual_seed(0))
    found = {name: layer.weight.std().item() for name, layer in network.named_children() if isinstance(layer, nn.Conv2d)}
    small = {"conv1": 0.001, "cccp1": 0.01, "cccp2": 0.01}
    assert found == {name: pytest.approx(small.get(name, 0.05), rel=0.05) for name in found}


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_the_first_bias_of_the_maps_is_the_recipes_and_moves_no_probability_if_they_are_averaged_without_a_relu(
    name: str,
) -> None:
    answers = []
    for bias in (2.0, 0.0):
        network = Network(ARCHITECTURES[name], last_relu=False, dropout=0)
        settings = replace(recipe.load("cifar10").network, architecture=name, maps_bias=bias)
        initialize(network, settings, torch.Generator().manual_seed(0))
        biases = {name.removesuffix(".bias"): one.unique().tolist() for name, one in network.named_parameters() if "bias" in name}
        assert biases == {layer: [bias if layer == ARCHITECTURES[name].maps.name else 0.0] for layer in biases}
        images = torch.rand(2, *ARCHITECTURES[name].input, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            answers.append(decisions(network(images)).probabilities)
    equal = torch.allclose(answers[0], answers[1], rtol=0, atol=1e-6)
    assert equal == ARCHITECTURES[name].class_maps
