"""Forward and backward pass as one CUDA graph: a small network's kernels end sooner than a CPU can start them one by one."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["Captured", "Pass", "record"]

Pass = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From images and labels to their loss and count of errors; leaves gradients at the weights, where there were none before."""

WARM_UP = 3  # passes before the capture: libraries choose their algorithms then, and take their memory
TOLERANCE = 0.05  # of a gradient's norm: noise of sums in bf16 is far below, another batch's or another mask's gradient far above


class Captured:
    """Stands for a `Pass` whose every kernel is the same from batch to batch, but for the content of tensors.

    The first batch of `size` is captured, the second one checked against the pass itself; from then on the graph is
    replayed. Batches of another size go through the pass, and all do where the capture or the check fails: `told` says why.
    """

    def __init__(self, forward_backward: Pass, weights: Sequence[nn.Parameter], size: int, told: Callable[[str], None]) -> None:
        self.eager, self.weights, self.size, self.told = forward_backward, weights, size, told
        self.replay: Callable[[], None] | None = None
        self.static: list[Tensor] = []
        """Where each replay leaves the gradients."""
        self.checked = self.given_up = False

    def __call__(self, x: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        if self.given_up or len(truth) != self.size:
            return self.eager(x, truth)
        if self.replay is None:
            self._capture(x, truth)
            return self.eager(x, truth)
        if self.checked:
            return self._replayed(x, truth)
        answer = self.eager(x, truth)
        expected = self._gradients()
        self._replayed(x, truth)
        self.checked = all(_close(one, other) for one, other in zip(self._gradients(), expected, strict=True))
        for weight, gradient in zip(self.weights, expected, strict=True):
            weight.grad = gradient
        if not self.checked:
            self.given_up, self.replay, self.static = True, None, []  # its memory goes back to the device
        self.told("CUDA graph: captured and checked" if self.checked else "CUDA graph: other gradients than without; not used")
        return answer

    def _capture(self, x: Tensor, truth: Tensor) -> None:
        self.x, self.truth = x.clone(), truth.clone()  # where every replay reads its batch
        try:
            self.answer, self.replay = record(lambda: self.eager(self.x, self.truth), self.weights)
            self.static = self._gradients()
        except RuntimeError as error:
            self.given_up = True
            self.told(f"CUDA graph: not captured, so steps take longer ({' '.join(str(error).split())[:200]})")
        self._drop_gradients()

    def _replayed(self, x: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        assert self.replay is not None
        self.x.copy_(x)
        self.truth.copy_(truth)
        self.replay()
        for weight, gradient in zip(self.weights, self.static, strict=True):
            weight.grad = gradient
        return self.answer

    def _gradients(self) -> list[Tensor]:
        gradients = [weight.grad for weight in self.weights if weight.grad is not None]
        if len(gradients) < len(self.weights):
            raise RuntimeError("a weight has no gradient")
        return gradients

    def _drop_gradients(self) -> None:
        for weight in self.weights:
            weight.grad = None


def record(
    call: Callable[[], tuple[Tensor, Tensor]], weights: Sequence[nn.Parameter]
) -> tuple[tuple[Tensor, Tensor], Callable[[], None]]:
    """What `call` gives and leaves as gradients, in memory of its own, and what calculates it there anew."""
    side, main = torch.cuda.Stream(), torch.cuda.current_stream()
    side.wait_stream(main)
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            call()
            for weight in weights:
                weight.grad = None  # so that the capture makes them, instead of adding to them
    main.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            answer = call()
    except RuntimeError:
        torch.cuda.set_stream(main)  # a capture that fails to end would leave its own stream behind as the current one
        raise
    return answer, graph.replay


def _close(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).norm() <= TOLERANCE * other.norm())
