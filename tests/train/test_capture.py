"""A captured update, on the CPU: a recorder of PyTorch's operations stands for the CUDA graph, and keeps numbers as it does."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from nin_onnx import recipe as recipes
from nin_onnx.recipe import Recipe
from nin_onnx.train import capture, checkpoint, device, fused
from nin_onnx.train.capture import StepResult
from nin_onnx.train.device import choose, set_up
from nin_onnx.train.examples import Examples
from nin_onnx.train.learner import Learner

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
                for place, value in zip(
                    *(one if isinstance(one, tuple | list) else (one,) for one in (result, again)), strict=True
                ):
                    if isinstance(place, Tensor):
                        place.copy_(value)


def record(call: Callable[[], StepResult]) -> tuple[StepResult, Callable[[], None]]:
    with Recorder() as recorder:
        answer = call()
    return answer, recorder.replay


@pytest.fixture(autouse=True)
def twins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fused operations in their plain form, whether Triton is installed or not; on a GPU as they are."""
    if not torch.cuda.is_available():
        monkeypatch.setattr(fused, "usable", lambda: True)
        monkeypatch.setattr(device, "kernels_for", lambda x: None)


def learner(recipe: Recipe, told: list[str] | None = None, *, exact: bool = False) -> Learner:
    """A learner; with `told`, one that captures its updates; if `exact`, one whose network calculates in float64."""
    classifier = checkpoint.build_classifier(recipe, recipe.table().classes)
    for name, buffer in classifier.preprocessing.named_buffers():
        if name == "zca.matrix":  # as it is before it is fitted, every image would be 0
            buffer.copy_(torch.eye(len(buffer)))
    if exact:
        classifier.network.double()
    made = Learner(recipe, classifier, torch.device("cpu"))
    made.dtype = torch.float64 if exact else made.dtype
    made.begin(5)
    if told is not None:
        made.captured = made.capture(told.append)
    return made


def batches(recipe: Recipe, sizes: Sequence[int]) -> tuple[Examples, list[Tensor]]:
    """Images for the recipe's network, and which of them are in each batch."""
    generator = torch.Generator().manual_seed(0)
    channels, height, width = recipe.table().input
    images = torch.randint(0, 256, (64, height, width, channels), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, recipe.table().classes, (64,), generator=generator)
    return Examples(images, labels), [torch.randint(0, 64, (size,), generator=generator) for size in sizes]


def trained(one: Learner, sizes: Sequence[int]) -> tuple[list[float], dict[str, Tensor]]:
    """Losses and, at the end, all weights and momenta."""
    examples, rows = batches(one.recipe, sizes)
    one.set_examples(examples)
    one.images = one.images.to(one.dtype) if one.dtype == torch.float64 else one.images
    losses = []
    for number, batch in enumerate(rows):
        one.optimizer.set_learning_rate(one.recipe.optimizer.learning_rate * (number + 1) / len(rows))
        losses.append(float(one.step(batch, number)[0]))
    return losses, {name: tensor.clone() for name, tensor in one.state().items()}


SIZES = (32, 32, 32, 14, 32, 14)


@pytest.mark.parametrize(
    "change", [(), ("network.dropout_scaling=test",), ("optimizer.label_smoothing=0.1",), ("optimizer.kind=muon",)]
)
def test_replayed_updates_train_to_the_same_bytes_with_new_images_masks_and_a_smaller_last_batch(
    change: tuple[str, ...], tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "record", record)
    monkeypatch.setattr(fused, "usable", lambda: False)
    recipe = tiny_recipe("network.dropout=0.5", "train.micro_batch=32", *change)
    told: list[str] = []
    losses, state = trained(learner(recipe, told), SIZES)
    expected_losses, expected = trained(learner(recipe), SIZES)
    assert told == ["CUDA graph: captured and checked"]
    assert losses == expected_losses
    assert [name for name, tensor in state.items() if not torch.equal(tensor, expected[name])] == []


@pytest.mark.parametrize("name", recipes.shipped())
def test_three_captured_fused_updates_of_each_recipe_are_those_of_its_modules(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64, by the fused operations' plain twins: loss, momenta and weights."""
    monkeypatch.setattr(capture, "record", record)
    recipe = recipes.load(name, ["train.precision=fp32", "train.batch_size=4", "train.micro_batch=4"])
    told: list[str] = []
    losses, state = trained(learner(recipe, told, exact=True), (4, 4, 4))
    plain = learner(recipe, exact=True)
    plain.preprocess_once = True
    before = {key: tensor.clone() for key, tensor in plain.state().items()}
    expected_losses, expected = trained(plain, (4, 4, 4))
    assert told == ["CUDA graph: captured and checked"]
    assert losses == pytest.approx(expected_losses, rel=1e-6)
    limit = 0.05 if recipe.optimizer.kind == "muon" else 1e-5  # Muon calculates in bf16
    for key, tensor in state.items():
        way = float((expected[key] - before[key]).float().norm())
        assert float((tensor - expected[key]).float().norm()) <= limit * way, key


@pytest.mark.parametrize("baked", ["keys", "rate", "share", "rows"])
def test_a_number_that_became_part_of_the_graph_is_found_by_the_check(
    baked: str, tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "record", record)
    recipe = tiny_recipe("network.dropout=0.5", "schedule.ema_decay=0.5", "train.micro_batch=32")
    told: list[str] = []
    captured = learner(recipe, told)
    assert captured.captured

    def update(rows: Tensor) -> StepResult:
        if baked == "keys":
            captured.dropouts[0].key = int(captured.keys[0])
        elif baked == "share":
            captured.ema_share = torch.full((), float(captured.ema_share))
        elif baked == "rate":
            group = captured.optimizer.optimizers[0].param_groups[0]
            group["lr"] = float(group["lr"])
        else:
            rows = torch.tensor(rows.tolist())
        return captured._update(rows)

    captured.captured.updates = [update]
    before = [
        captured.ema_share,
        captured.optimizer.optimizers[0].param_groups[0],
        captured.optimizer.optimizers[0].param_groups[0]["lr"],
    ]

    def plain(rows: Tensor) -> StepResult:
        captured.dropouts[0].key, captured.ema_share, before[1]["lr"] = captured.keys[0], before[0], before[2]
        return captured._update(rows)

    captured.captured.plain = captured.captured.exact = plain
    losses, _ = trained(captured, (32,))
    assert len(told) == 1
    assert told[0].startswith("CUDA graph: another step than without (")
    assert captured.captured.graphs == {}  # what holds a step's memory on the device
    assert losses == trained(learner(recipe), (32,))[0]


def test_what_cannot_be_captured_is_told_once_and_trained_without(tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(call: Callable[[], Any]) -> Any:
        call()  # moves weights that nobody asked it to move
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(capture, "record", fail)
    told: list[str] = []
    losses, state = trained(learner(tiny_recipe(), told), (32, 32, 32))
    expected_losses, expected = trained(learner(tiny_recipe()), (32, 32, 32))
    why = "CUDA graph: not captured, so steps take longer (operation not permitted when stream is capturing)"
    assert told == [why]
    assert losses == expected_losses
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state.items())


def test_a_capture_that_fails_after_the_backward_pass_leaves_no_gradient_behind(
    tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(call: Callable[[], Any]) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(captured, "_move", lambda: None)
            call()
        raise RuntimeError("out of memory")

    monkeypatch.setattr(capture, "record", fail)
    captured = learner(tiny_recipe(), [])
    losses, state = trained(captured, (32, 32))
    expected_losses, expected = trained(learner(tiny_recipe()), (32, 32))
    assert losses == expected_losses
    assert all(torch.equal(tensor, expected[name]) for name, tensor in state.items())


def test_images_that_do_not_fit_preprocessed_are_preprocessed_batch_by_batch(
    tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture, "record", record)
    told: list[str] = []
    large = learner(tiny_recipe("train.micro_batch=32"), told)
    monkeypatch.setattr(large, "_fits", lambda count: count < 64)
    losses, _ = trained(large, (32, 32, 14))
    assert (large.images.dtype, large.captured, told) == (torch.uint8, None, [])
    assert losses == trained(learner(tiny_recipe("train.micro_batch=32")), (32, 32, 14))[0]


def test_if_the_fused_update_cannot_be_captured_the_plain_one_is(tiny_recipe: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "record", record)
    told: list[str] = []
    captured = learner(tiny_recipe("train.micro_batch=32"), told)

    def broken(rows: Tensor) -> StepResult:
        raise RuntimeError("no C compiler")

    assert captured.captured
    captured.captured.updates[0] = broken
    losses, _ = trained(captured, (32, 32, 14))
    assert told == ["CUDA graph: not captured, so steps take longer (no C compiler)", "CUDA graph: captured and checked"]
    assert len(captured.captured.graphs) == 2
    assert losses == trained(learner(tiny_recipe("train.micro_batch=32")), (32, 32, 14))[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
@pytest.mark.parametrize("name", ["cifar10-augmented", "cifar10-augmented-modern", "cnn-fc-dropout"])
def test_a_cuda_graph_is_captured_checked_and_used(name: str) -> None:
    told: list[str] = []
    recipe = recipes.load(name)
    device = choose("cuda")
    set_up(device, deterministic=False)  # another test may have asked for it
    examples, rows = batches(recipe, (128, 128, 128, 80, 128, 80))
    losses = []
    for deterministic in (False, True):
        one = learner(recipe)
        one = Learner(recipe, one.result(), device, echo=told.append, deterministic=deterministic)
        one.begin(5)
        one.set_examples(Examples(*(tensor.to(device) for tensor in examples)))
        one.optimizer.set_learning_rate(recipe.optimizer.learning_rate / 10)
        losses.append([float(one.step(batch.to(device), number)[0]) for number, batch in enumerate(rows)])
        assert (one.captured is None) == deterministic
    assert told == ["CUDA graph: captured and checked"]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
