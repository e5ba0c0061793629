"""One update of the training loop, against one written out by hand in float64."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from nin_onnx.recipe import Recipe
from nin_onnx.train.checkpoint import build_classifier
from nin_onnx.train.examples import Examples
from nin_onnx.train.learner import Learner

CPU = torch.device("cpu")
PLAIN = ("network.dropout=0", "augmentation.padding=0", "augmentation.flip=false", "train.batch_size=50")
PAPER = ("optimizer.learning_rate=0.1", "optimizer.last_layer_lr_mult=0.1", "optimizer.weight_decay=0.01")


def batch(n: int = 50, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, 8, 8, 1), dtype=torch.uint8, generator=random)
    return images, torch.randint(0, 10, (n,), generator=random)


def made(recipe: Recipe, seed: int = 0) -> Learner:
    classifier = build_classifier(recipe)
    classifier.preprocessing.fit(batch(200, seed=9)[0])
    learner = Learner(recipe, classifier, CPU)
    learner.begin(seed)
    return learner


def step(learner: Learner, images: Tensor, labels: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """An update from all of these images."""
    learner.set_examples(Examples(images, labels))
    return learner.step(torch.arange(len(labels)), number)


def weights(learner: Learner) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in learner.network.named_parameters()}


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference of two sets of weights."""
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def loss_by_hand(maps: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """[N]: cross entropy against 1 - smoothing on the label plus smoothing / C on each class."""
    logits = maps.mean((2, 3))
    surprise = logits.logsumexp(1, keepdim=True) - logits  # [N, C]
    right = surprise[torch.arange(len(labels)), labels]
    return (1 - smoothing) * right + smoothing * surprise.mean(1)


@pytest.mark.parametrize("smoothing", [0, 0.1])
@pytest.mark.parametrize("momentum", [0, 0.9])
def test_updates_are_those_written_out_by_hand(tiny_recipe: Callable[..., Recipe], momentum: float, smoothing: float) -> None:
    settings = (f"optimizer.momentum={momentum}", f"optimizer.label_smoothing={smoothing}", "schedule.ema_decay=0.9")
    learner = made(tiny_recipe(*PLAIN, *PAPER, *settings))
    network = copy.deepcopy(learner.network).double()  # only its forward pass is used
    truth = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    average = {name: tensor.clone() for name, tensor in truth.items()}
    velocity = {name: torch.zeros_like(tensor) for name, tensor in truth.items()}
    for number in range(3):
        images, labels = batch(seed=number)
        network.load_state_dict(truth)
        maps = network(learner.preprocessing(images).double())
        losses = loss_by_hand(maps, labels, smoothing)
        gradients = torch.autograd.grad(losses.mean(), list(network.parameters()))
        for name, gradient in zip(truth, gradients, strict=True):
            is_bias, is_last = name.endswith("bias"), name.startswith("cccp6")
            rate = 0.1 * (2 if is_bias else 1) * (0.1 if is_last else 1)
            velocity[name] = momentum * velocity[name] + gradient + (0 if is_bias else 0.01) * truth[name]
            truth[name] = truth[name] - rate * velocity[name]
            share = min(0.9, (1 + number) / (10 + number))
            average[name] = share * average[name] + (1 - share) * truth[name]
        learner.optimizer.set_learning_rate(0.1)
        loss, wrong = step(learner, images, labels, number)
        assert loss.item() == pytest.approx(losses.sum().item(), rel=1e-5)
        assert wrong.item() == (maps.mean((2, 3)).argmax(1) != labels).sum().item()
        assert distance(weights(learner), truth) < 1e-6
        assert distance({name: tensor.detach() for name, tensor in learner.result().network.named_parameters()}, average) < 1e-6


@pytest.mark.parametrize("size", [1, 7, 49, 50, 64])
def test_the_size_of_the_micro_batches_does_not_change_the_update(tiny_recipe: Callable[..., Recipe], size: int) -> None:
    at_once, in_parts = (made(tiny_recipe(*PLAIN, f"train.micro_batch={micro}")) for micro in (50, size))
    before = weights(at_once)
    results = [step(learner, *batch(), 0) for learner in (at_once, in_parts)]
    assert distance(weights(at_once), before) > 1e-3
    assert distance(weights(at_once), weights(in_parts)) < 1e-6
    torch.testing.assert_close(results[0], results[1])


def test_a_batch_that_is_not_full_weighs_its_own_images_equally(tiny_recipe: Callable[..., Recipe]) -> None:
    images, labels = batch(20)
    one, twice = (made(tiny_recipe(*PLAIN)) for _ in range(2))
    step(one, images, labels, 0)
    step(twice, torch.cat([images, images]), torch.cat([labels, labels]), 0)
    assert distance(weights(one), weights(twice)) < 1e-6


@pytest.mark.parametrize("choice", ["network.dropout=0.5", "augmentation.padding=1", "augmentation.flip=true"])
def test_each_random_choice_of_an_update_is_decided_by_seed_and_number(tiny_recipe: Callable[..., Recipe], choice: str) -> None:
    results: list[dict[str, Tensor]] = []
    for seed, number in ((0, 5), (0, 5), (0, 6), (1, 5)):
        learner = made(tiny_recipe(*PLAIN, choice))  # the same first weights each time
        learner.seed = seed
        torch.manual_seed(len(results))
        step(learner, *batch(), number)
        results.append(weights(learner))
    assert distance(results[0], results[1]) == 0
    assert distance(results[0], results[2]) > 1e-4
    assert distance(results[0], results[3]) > 1e-4


def test_each_micro_batch_has_a_dropout_mask_of_its_own(tiny_recipe: Callable[..., Recipe]) -> None:
    learner = made(tiny_recipe(*PLAIN, "network.dropout=0.5", "train.micro_batch=25"))
    zeros: list[Tensor] = []
    learner.network.get_submodule("drop1").register_forward_hook(lambda module, given, result: zeros.append(result == 0))
    images, labels = batch(1)
    step(learner, images.expand(50, -1, -1, -1), labels.expand(50), 0)
    first, second = zeros
    assert not torch.equal(first, second)


def test_dropout_is_on_in_an_update_even_after_the_network_was_judged(tiny_recipe: Callable[..., Recipe]) -> None:
    one, judged = (made(tiny_recipe("schedule.ema_decay=0")) for _ in range(2))
    judged.result().eval()
    for learner in (one, judged):
        step(learner, *batch(), 0)
    assert distance(weights(one), weights(judged)) == 0


def test_another_seed_draws_other_weights(tiny_recipe: Callable[..., Recipe]) -> None:
    one, same, other = (weights(made(tiny_recipe(), seed)) for seed in (1, 1, 2))
    assert distance(one, same) == 0
    assert distance(one, other) > 0.1


def test_bf16_trains_almost_as_float32_does(tiny_recipe: Callable[..., Recipe]) -> None:
    exact, rounded = (made(tiny_recipe(*PLAIN, f"train.precision={precision}")) for precision in ("fp32", "bf16"))
    before = weights(exact)
    for learner in (exact, rounded):
        step(learner, *batch(), 0)
        assert {tensor.dtype for name, tensor in learner.state().items() if name != "silent"} == {torch.float32}
    way, error = distance(weights(exact), before), distance(weights(exact), weights(rounded))
    assert 0 < error < 0.05 * way


def test_what_is_put_back_goes_on_as_if_nothing_had_been(tiny_recipe: Callable[..., Recipe]) -> None:
    learner = made(tiny_recipe(), seed=3)
    step(learner, *batch(), 0)
    kept = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in learner.state().items()}
    step(learner, *batch(seed=1), 1)
    other = made(tiny_recipe(), seed=8)
    other.restore(kept, seed=3)
    step(other, *batch(seed=1), 1)
    for name, tensor in learner.state().items():
        np.testing.assert_array_equal(other.state()[name].numpy(), tensor.numpy())


@pytest.mark.parametrize("other", ["schedule.ema_decay=0", "network.architecture=nin-mnist"])
def test_another_recipes_state_is_refused_and_changes_nothing(tiny_recipe: Callable[..., Recipe], other: str) -> None:
    state, learner = made(tiny_recipe(other)).state(), made(tiny_recipe())
    before = weights(learner)
    with pytest.raises(ValueError, match="not this network's"):
        learner.restore(state, seed=0)
    assert distance(weights(learner), before) == 0


def test_the_result_is_the_average_where_there_is_one_and_the_network_where_there_is_none(
    tiny_recipe: Callable[..., Recipe],
) -> None:
    averaged, plain = made(tiny_recipe()), made(tiny_recipe("schedule.ema_decay=0"))
    assert averaged.result().network is averaged.ema
    assert plain.result().network is plain.network


def test_steps_without_a_gradient_are_counted_and_one_with_it_ends_the_count(tiny_recipe: Callable[..., Recipe]) -> None:
    learner = made(tiny_recipe("network.last_relu=true", "optimizer.learning_rate=1e-9"))
    last = learner.network.get_parameter("cccp6.bias")
    counts = []
    for number, bias in enumerate((0, -100, -100, -100, 0, -100)):
        with torch.no_grad():
            last.fill_(bias)
        step(learner, *batch(), number)
        counts.append(int(learner.steps_without_gradient))
    assert counts == [0, 1, 2, 3, 0, 1]
