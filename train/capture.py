"""A whole update as one CUDA graph: a small network's kernels end sooner than a CPU can start them one by one."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

__all__ = ["Answer", "Captured", "record"]

Answer = tuple[Tensor, Tensor]
"""Loss and count of errors, of one update."""

Update = Callable[[Tensor], Answer]
"""From the numbers of a batch's images, int64 [N], to what they gave; moves the weights."""

WARM_UP = 3  # updates before the capture: libraries choose their algorithms then, and take their memory
MOMENTUM_TOLERANCE = 0.05  # of a step's norm: noise of sums in bf16 is far below, another batch's or another mask's far above
WEIGHT_TOLERANCE = 0.5  # Muon divides by singular values, small ones too, and so magnifies that noise


class Captured:
    """Stands for an `update` whose every kernel is the same from batch to batch, but for the content of tensors.

    For each size of a batch, the first one is captured, then learnt from by `plain` and by the replay, from the same state. If
    both leave the same momenta and weights, the replay does all batches of that size that follow. If they do not, or if the
    capture fails, `plain` does all of them: `told` says why.
    """

    def __init__(
        self,
        update: Update,
        plain: Update,
        state: Mapping[str, Tensor],
        inputs: Sequence[Tensor],
        told: Callable[[str], None],
    ) -> None:
        """`state` is what an update changes; `inputs` are the tensors on the device that are filled before each."""
        self.update, self.plain, self.state, self.inputs, self.told = update, plain, state, inputs, told
        self.graphs: dict[int, tuple[Tensor, Answer, Callable[[], None]]] = {}
        self.given_up = False

    def __call__(self, rows: Tensor) -> Answer:
        if self.given_up:
            return self.plain(rows)
        if len(rows) not in self.graphs:
            return self._first(rows)
        return self._replayed(rows)

    def _replayed(self, rows: Tensor) -> Answer:
        place, answer, replay = self.graphs[len(rows)]
        place.copy_(rows)
        replay()
        return answer

    def _first(self, rows: Tensor) -> Answer:
        before = _copied(self.state)
        try:
            self.graphs[len(rows)] = self._recorded(rows)
        except Exception as error:  # of CUDA, cuDNN or Triton: none of them may cost the training
            self._give_up(f"not captured, so steps take longer ({' '.join(str(error).split())[:200]})")
        _put_back(self.state, before)
        loss, wrong = (one.clone() for one in self.plain(rows))
        if self.given_up:
            return loss, wrong
        expected = _copied(self.state)
        _put_back(self.state, before)
        self._replayed(rows)
        differing = [name for name in expected if not _close(name, before[name], expected[name], self.state[name])]
        _put_back(self.state, expected)
        if differing:
            self._give_up(f"another step than without ({differing[0]}); not used")
        elif len(self.graphs) == 1:
            self.told("CUDA graph: captured and checked")
        return loss, wrong

    def _recorded(self, rows: Tensor) -> tuple[Tensor, Answer, Callable[[], None]]:
        """Capture with other inputs than the check has, so that a number which became part of the graph is found."""
        inputs = [one.clone() for one in self.inputs]
        place = torch.zeros_like(rows)
        try:
            for one in self.inputs:
                one.zero_()
            answer, replay = record(lambda: self.update(place))
        finally:
            for one, kept in zip(self.inputs, inputs, strict=True):
                one.copy_(kept)
        return place, answer, replay

    def _give_up(self, why: str) -> None:
        self.given_up, self.graphs = True, {}  # their memory goes back to the device
        self.told(f"CUDA graph: {why}")


def record(call: Callable[[], Answer]) -> tuple[Answer, Callable[[], None]]:
    """What `call` gives, in memory of its own, and what calculates it there anew."""
    side, main = torch.cuda.Stream(), torch.cuda.current_stream()
    side.wait_stream(main)
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            call()
    main.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            answer = call()
    except RuntimeError:
        torch.cuda.set_stream(main)  # a capture that fails to end would leave its own stream behind as the current one
        raise
    return answer, graph.replay


def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


def _put_back(state: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> None:
    for name, tensor in state.items():
        tensor.copy_(kept[name])


def _close(name: str, before: Tensor, expected: Tensor, found: Tensor) -> bool:
    if not expected.is_floating_point():
        return torch.equal(expected, found)
    tolerance = MOMENTUM_TOLERANCE if name.startswith("momentum/") else WEIGHT_TOLERANCE
    return bool((found - expected).norm() <= tolerance * (expected - before).norm())
