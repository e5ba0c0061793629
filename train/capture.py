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
NOISE = 2.0  # how much farther from float32 than the plain step a momentum may be: both round to bf16
LEAST_NOISE = 0.01  # of a step: what two orders of the same sums may differ by; another batch or mask is farther by far
LENGTH_TOLERANCE = 0.25  # of a step's length: Muon makes noise as long as the rest, so that directions say little


class Captured:
    """Stands for an `update` whose every kernel is the same from batch to batch, but for the content of tensors.

    For each size of a batch, the first one is captured, then learnt from three times from the same state: by the replay, by
    `plain`, and by `exact`, which is `plain` in float32. If the replay is about as near to `exact` as `plain` is, it does all
    batches of that size that follow. If it is not, or if the capture fails, `plain` does all of them: `told` says why.
    """

    def __init__(
        self,
        update: Update,
        plain: Update,
        exact: Update,
        state: Mapping[str, Tensor],
        inputs: Sequence[Tensor],
        told: Callable[[str], None],
    ) -> None:
        """`state` is what an update changes; `inputs` are the tensors on the device that are filled before each."""
        self.update, self.plain, self.exact = update, plain, exact
        self.state, self.inputs, self.told = state, inputs, told
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
        if self.given_up:
            return self.plain(rows)
        self._replayed(rows)
        replayed = _copied(self.state)
        _put_back(self.state, before)
        self.exact(rows)
        exact = _copied(self.state)
        _put_back(self.state, before)
        loss, wrong = (one.clone() for one in self.plain(rows))
        differing = [name for name in exact if not _close(name, before[name], exact[name], self.state[name], replayed[name])]
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


def _close(name: str, before: Tensor, exact: Tensor, plain: Tensor, found: Tensor) -> bool:
    """Return whether the step from `before` to `found` is as good as the one to `plain`."""
    if not exact.is_floating_point():
        return torch.equal(plain, found)
    step, found_step = plain - before, found - before
    if name.startswith("momentum/"):
        noise = NOISE * (plain - exact).norm() + LEAST_NOISE * step.norm()
        return bool((found - exact).norm() <= noise)
    same_length = (found_step.norm() - step.norm()).abs() <= LENGTH_TOLERANCE * step.norm()
    return bool(same_length & ((found_step * step).sum() >= 0))
