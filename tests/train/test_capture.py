"""A captured pass, on the CPU: a recorder of PyTorch's operations stands for the CUDA graph, with numbers baked in as it has."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nin_onnx.train import capture, checkpoint
from nin_onnx.train.capture import Captured
from nin_onnx.train.device import set_up
from nin_onnx.train.learner import Learner
from nin_onnx.train.recipe import Recipe

Recipes = Callable[..., Recipe]


class Recorder(TorchDispatchMode):
    """Keeps each operation with its arguments: numbers as they are now, tensors as places in memory."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.done: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        self.done.append((operation, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        """Every operation again, its result to where it went; views and what works in place lie there already."""
        with torch.no_grad():
            for operation, args, kwargs, result in self.done:
                again = operation(*args, **kwargs)
                if any(one.alias_info is not None for one in operation._schema.returns):
                    continue
                for place, value in zip(*(one if isinstance(one, tuple) else (one,) for one in (result, again)), strict=True):
                    if isinstance(place, Tensor):
                        place.copy_(value)


def record(
    call: Callable[[], tuple[Tensor, Tensor]], weights: Sequence[nn.Parameter]
) -> tuple[tuple[Tensor, Tensor], Callable[[], None]]:
    with Recorder() as recorder:
        answer = call()
    return answer, recorder.replay


def learner(recipe: Recipe, told: list[str] | None = None) -> Learner:
    """A learner; with `told`, one that captures its passes."""
    made = Learner(recipe, checkpoint.build_classifier(recipe), torch.device("cpu"))
    made.begin(5)
    if told is not None:
        weights = list(made.network.parameters())
        made.captured = Captured(made._forward_backward, weights, recipe.train.batch_size, told.append)
    return made


def batches(sizes: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 256, (size, 8, 8, 1), dtype=torch.uint8, generator=generator) for size in sizes]
    return [(batch, torch.randint(0, 10, (len(batch),), generator=generator)) for batch in images]


def trained(one: Learner, sizes: Sequence[int]) -> tuple[list[float], dict[str, Tensor]]:
    """Losses and, at the end, all weights and momenta."""
    losses = [float(one.step(*batch, number)[0]) for number, batch in enumerate(batches(sizes))]
    return losses, {name: tensor.clone() for name, tensor in one.state().items()}


@pytest.mark.parametrize(
    "change", [(), ("network.dropout_scaling=test",), ("optimizer.label_smoothing=0.1",), ("optimizer.kind=muon",)]
)
def test_replayed_passes_train_to_the_same_bytes_with_new_images_masks_and_a_smaller_last_batch(
    change: tuple[str, ...], tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "record", record)
    recipe = tiny_recipe("network.dropout=0.5", *change)
    sizes = (32, 32, 32, 14, 32, 32)
    told: list[str] = []
    losses, state = trained(learner(recipe, told), sizes)
    expected_losses, expected = trained(learner(recipe), sizes)
    assert told == ["CUDA graph: captured and checked"]
    assert losses == expected_losses
    assert [name for name, tensor in state.items() if not torch.equal(tensor, expected[name])] == []


def test_a_number_that_is_baked_into_the_capture_is_found_by_the_check(
    tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "record", record)
    recipe = tiny_recipe("network.dropout=0.5")
    told: list[str] = []
    captured = learner(recipe, told)
    baked = captured.dropouts[0]

    def forward_backward(x: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        baked.key = int(captured.keys[0])
        return captured._forward_backward(x, truth)

    assert captured.captured
    captured.captured.eager = forward_backward
    losses, _ = trained(captured, (32, 32, 32))
    assert told == ["CUDA graph: other gradients than without; not used"]
    assert (captured.captured.replay, captured.captured.static) == (None, [])  # what holds a step's memory on the device
    assert losses == trained(learner(recipe), (32, 32, 32))[0]


def test_what_cannot_be_captured_is_told_once_and_trained_without(tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(call: Callable[[], Any], weights: Sequence[nn.Parameter]) -> Any:
        call()  # leaves gradients that nobody asked for
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(capture, "record", fail)
    told: list[str] = []
    losses, state = trained(learner(tiny_recipe(), told), (32, 32, 32))
    expected_losses, expected = trained(learner(tiny_recipe()), (32, 32, 32))
    assert told == ["CUDA graph: not captured, so steps take longer (operation not permitted when stream is capturing)"]
    assert losses == expected_losses
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state.items())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_a_cuda_graph_is_captured_checked_and_used(tiny_recipe: Recipes) -> None:
    told: list[str] = []
    recipe = tiny_recipe("network.dropout=0.5")
    device = torch.device("cuda")
    set_up(device, deterministic=False)  # another test may have asked for it
    learners = [Learner(recipe, checkpoint.build_classifier(recipe), device, echo=told.append) for _ in range(2)]
    learners[1].captured = None
    losses = []
    for one in learners:
        one.begin(5)
        steps = [(images.to(device), labels.to(device)) for images, labels in batches((32, 32, 32, 14, 32))]
        losses.append([float(one.step(*batch, number)[0]) for number, batch in enumerate(steps)])
    assert told == ["CUDA graph: captured and checked"]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
