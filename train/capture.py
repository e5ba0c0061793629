"""A whole update as one CUDA graph: a small network's kernels end sooner than a CPU can start them one by one."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

__all__ = ["CapturedUpdate", "StepResult", "record"]

StepResult = tuple[Tensor, Tensor]
"""Loss and number of errors of one update."""

Update = Callable[[Tensor], StepResult]
"""From the numbers of a batch's images, int64 [N], to what they gave; moves the weights."""

WARMUP = 3  # updates before the capture: libraries choose their algorithms then, and take their memory
NOISE = 2.0  # how much farther from float32 than the plain step a momentum may be: both round to bf16
LEAST_NOISE = 0.01  # of a step: what two orders of the same sums may differ by; another batch or mask is farther by far
LENGTH_TOLERANCE = 0.25  # of a step's length: Muon makes noise as long as the rest, so that directions say little


class CapturedUpdate:
    """Stands for an update whose every kernel is the same from batch to batch, but for the content of tensors.

    For each size of a batch, the first one is captured, then learnt from three times from the same state: by the replay, by
    `plain`, and by `exact`, which is `plain` in float32. If the replay is about as near to `exact` as `plain` is, it does all
    batches of that size that follow. If it is not, or if the capture fails, the next of `updates` is tried, and `plain` does
    all batches if none is left: `echo` says why.
    """

    def __init__(
        self,
        updates: Sequence[Update],
        plain: Update,
        exact: Update,
        state: Mapping[str, Tensor],
        inputs: Sequence[Tensor],
        echo: Callable[[str], None],
    ) -> None:
        """`state` is what an update changes; `inputs` are the tensors on the device that are filled before each."""
        self.updates, self.plain, self.exact = [*updates], plain, exact
        self.state, self.inputs, self.echo = state, inputs, echo
        self.graphs: dict[int, tuple[Tensor, StepResult, Callable[[], None]]] = {}

    def __call__(self, rows: Tensor) -> StepResult:
        if not self.updates:
            return self.plain(rows)
        if len(rows) not in self.graphs:
            return self._first(rows)
        return self._replayed(rows)

    def _replayed(self, rows: Tensor) -> StepResult:
        graph_rows, result, replay = self.graphs[len(rows)]
        graph_rows.copy_(rows)
        replay()
        return result

    def _first(self, rows: Tensor) -> StepResult:
        """Do the first update of this size by `plain`, and see whether a graph does the same."""
        before = _copied(self.state)
        loss, wrong = (one.clone() for one in self.plain(rows))
        plain = _copied(self.state)
        while self.updates:
            try:
                if problem := self._differing(rows, before, plain):
                    problem = f"another step than without ({problem}); not used"
            except Exception as error:  # of CUDA, cuDNN or Triton: none of them may cost the training
                problem = f"not captured, so steps take longer ({' '.join(str(error).split())[:200]})"
            if not problem:
                if len(self.graphs) == 1:
                    self.echo("CUDA graph: captured and checked")
                break
            self.graphs = {}  # their memory goes back to the device
            self.updates.pop(0)
            self.echo(f"CUDA graph: {problem}")
        _put_back(self.state, plain)
        return loss, wrong

    def _differing(self, rows: Tensor, before: Mapping[str, Tensor], plain: Mapping[str, Tensor]) -> str | None:
        """Capture the update; return what its replay moves elsewhere than `plain`, or None."""
        _put_back(self.state, before)
        try:
            self.graphs[len(rows)] = self._recorded(rows)
        finally:
            _put_back(self.state, before)
        self._replayed(rows)
        replayed = _copied(self.state)
        _put_back(self.state, before)
        self.exact(rows)
        found = ((name, before[name], exact, plain[name], replayed[name]) for name, exact in self.state.items())
        return next((name for name, *tensors in found if not _close(name, *tensors)), None)

    def _recorded(self, rows: Tensor) -> tuple[Tensor, StepResult, Callable[[], None]]:
        """Capture with other inputs than the check has, so that a number which became part of the graph is found."""
        inputs = [one.clone() for one in self.inputs]
        graph_rows = torch.zeros_like(rows)
        try:
            for one in self.inputs:
                one.zero_()
            result, replay = record(lambda: self.updates[0](graph_rows))
        finally:
            for one, kept in zip(self.inputs, inputs, strict=True):
                one.copy_(kept)
        return graph_rows, result, replay


def record(call: Callable[[], StepResult]) -> tuple[StepResult, Callable[[], None]]:
    """Capture `call` as a CUDA graph; return its result, in memory of the graph, and what replays it."""
    side, main = torch.cuda.Stream(), torch.cuda.current_stream()
    side.wait_stream(main)
    try:
        with torch.cuda.stream(side):
            for _ in range(WARMUP):
                call()
    finally:
        main.wait_stream(side)  # also after a failure: what was begun there may still write
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            result = call()
    except RuntimeError:
        torch.cuda.set_stream(main)  # a capture that fails to end would leave its own stream behind as the current one
        raise
    return result, graph.replay


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
