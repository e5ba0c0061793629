"""What moves the weights: the author's rates, and Muon against a singular value decomposition."""

import copy
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from nin_onnx.architecture import ARCHITECTURES
from nin_onnx.recipe import NetworkSettings, OptimizerSettings
from nin_onnx.train.initialization import initialize
from nin_onnx.train.network import Network, channels_last
from nin_onnx.train.optimizer import Optimizer, parameter_groups


def network(architecture: str = "nin-digits") -> Network:
    made = channels_last(Network(ARCHITECTURES[architecture], last_relu=True, dropout=0))
    initialize(made, NetworkSettings(architecture, initialization="he"), torch.Generator().manual_seed(0))
    return made


def gradient(parameter: Tensor, step: int, number: int) -> Tensor:
    """Noise for the parameter of that number."""
    return torch.randn(parameter.shape, generator=torch.Generator().manual_seed(100 * step + number))


def moved(made: Network, settings: OptimizerSettings, rate: float, steps: int = 1) -> dict[str, Tensor]:
    """By how much the last of some steps moves each parameter of `made`."""
    optimizer = Optimizer(made, settings)
    optimizer.set_learning_rate(rate)
    for step in range(steps):
        before = copy.deepcopy(made)
        for number, parameter in enumerate(made.parameters()):
            parameter.grad = gradient(parameter, step, number)
        optimizer.step()
        assert all(parameter.grad is None for parameter in made.parameters())
    return {name: made.get_parameter(name).detach() - old.detach() for name, old in before.named_parameters()}


@pytest.mark.parametrize("kind", ["sgd", "muon"])
def test_biases_learn_twice_as_fast_without_decay_and_the_last_layer_at_a_tenth(kind: Literal["sgd", "muon"]) -> None:
    """The author's released parameters: 0.1 / 0.2 and, for the last cccp layer, 0.01 / 0.02; decay 1e-4 / 0."""
    made = network()
    optimizer = Optimizer(made, OptimizerSettings(0.1, kind))
    optimizer.set_learning_rate(0.1)
    names = {parameter: name for name, parameter in made.named_parameters()}
    names |= {matrix: names[weight] for weight, matrix in optimizer.matrices.items()}
    groups = [group for one in optimizer.optimizers for group in one.param_groups]
    found = {names[parameter]: (float(group["lr"]), group["weight_decay"]) for group in groups for parameter in group["params"]}
    layers = ["conv1", "cccp1", "cccp2", "conv2", "cccp3", "cccp4", "conv3", "cccp5"]
    expected = {f"{layer}.weight": (0.1, 1e-4) for layer in layers} | {f"{layer}.bias": (0.2, 0) for layer in layers}
    expected |= {"cccp6.weight": (0.01, 1e-4), "cccp6.bias": (0.02, 0)}
    assert found == {name: pytest.approx(values) for name, values in expected.items()}
    before = [float(group["lr"]) for group in groups]
    optimizer.set_learning_rate(0.01)
    assert [float(group["lr"]) for group in groups] == pytest.approx([rate / 10 for rate in before])


def test_every_parameter_is_in_one_group() -> None:
    made = network()
    grouped = [id(parameter) for group in parameter_groups(made, OptimizerSettings(0.1)) for parameter in group["params"]]
    assert sorted(grouped) == sorted(map(id, made.parameters()))


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("architecture", ["nin-digits", "nin-cifar10-fc", "cnn-gap"])
def test_muon_moves_a_weight_as_the_iteration_of_jordan_et_al_does(architecture: str, steps: int) -> None:
    """Newton-Schulz on the Nesterov momentum: here on its singular values in float64, in torch on matrices in bf16."""
    settings = OptimizerSettings(0.1, "muon", momentum=0.5, weight_decay=0, last_layer_lr_mult=0.5)
    made = network(architecture)
    names = [name for name, _ in made.named_parameters()]
    for name, change in moved(made, settings, 0.1, steps).items():
        if not name.endswith("weight") or name == "local4.weight":
            continue
        momentum = torch.zeros_like(change, dtype=torch.float64)
        for step in range(steps):
            latest = gradient(change, step, names.index(name)).double()
            momentum = 0.5 * momentum + 0.5 * latest
        matrix = (0.5 * momentum + 0.5 * latest).flatten(1)
        u, values, v = torch.linalg.svd(matrix, full_matrices=False)
        values /= values.norm()
        for _ in range(5):
            values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
        rate = 0.1 * (0.5 if name == names[-2] else 1) * max(1, matrix.shape[0] / matrix.shape[1]) ** 0.5
        found = u.mT @ change.flatten(1).double() @ v.mT / -rate
        # The iteration enlarges what is small, bf16's rounding with it, up to 3.4445⁵ = 485 times.
        torch.testing.assert_close(found, values.diag(), rtol=0, atol=0.1)


def test_muon_shrinks_the_weights_by_the_decay_and_moves_the_biases_as_gradient_descent_does() -> None:
    plain, shrunk, by_sgd = (
        moved(network(), settings, 0.1)
        for settings in (
            OptimizerSettings(0.1, "muon", weight_decay=0),
            OptimizerSettings(0.1, "muon", weight_decay=0.01),
            OptimizerSettings(0.1, "sgd", weight_decay=0),
        )
    )
    for name, weight in network().named_parameters():
        if name.endswith("weight"):
            rate = 0.1 * (0.1 if name.startswith("cccp6") else 1)
            torch.testing.assert_close(shrunk[name] - plain[name], -rate * 0.01 * weight.detach(), rtol=0, atol=1e-6)
        else:
            torch.testing.assert_close(shrunk[name], by_sgd[name], rtol=0, atol=0)


def test_with_muon_a_locally_connected_layer_moves_as_by_gradient_descent() -> None:
    by_muon, by_sgd = (
        moved(network("cnn-gap"), settings, 0.1)["local4.weight"]
        for settings in (OptimizerSettings(0.1, "muon", weight_decay=0.01), OptimizerSettings(0.1, "sgd", weight_decay=0.01))
    )
    torch.testing.assert_close(by_muon, by_sgd, rtol=0, atol=0)


def test_a_weight_and_its_matrix_are_the_same_numbers() -> None:
    made = network()
    for weight, matrix in Optimizer(made, OptimizerSettings(0.1, "muon")).matrices.items():
        with torch.no_grad():
            nn.init.constant_(weight, 7)
        assert matrix.shape == (weight.shape[0], weight[0].numel())
        assert (matrix == 7).all()


def test_weights_that_would_have_to_be_copied_are_refused() -> None:
    with pytest.raises(RuntimeError, match="view"):
        Optimizer(network().to(memory_format=torch.contiguous_format), OptimizerSettings(0.1, "muon"))  # type: ignore[call-overload]
