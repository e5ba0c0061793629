"""The processes that train together: one alone, or those that torchrun started, on one machine or several."""

import gc
import os
import textwrap
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

from nin_onnx.errors import Interrupted, NinOnnxError, TrainingError

__all__ = ["ProcessGroup", "is_main", "joined", "launched"]

TIMEOUT = timedelta(hours=2)  # the main process may download and whiten a large data set while the others wait


@dataclass(frozen=True)
class ProcessGroup:
    """This process's rank among the `size` processes of a training."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    @property
    def is_local_main(self) -> bool:
        """Whether this is the process that downloads, one on each machine."""
        return self.size == 1 or os.environ.get("LOCAL_RANK", "0") == "0"

    @property
    def launcher(self) -> tuple[str, ...]:
        """The command line that starts such a group again, up to the command of `nin-onnx`."""
        if self.size == 1:
            return ("nin-onnx",)
        machines, each = os.environ.get("GROUP_WORLD_SIZE", "1"), os.environ.get("LOCAL_WORLD_SIZE", str(self.size))
        several = ("--nnodes", machines, "--rdzv-backend", "c10d", "--rdzv-endpoint", "HOST") if machines != "1" else ()
        return ("torchrun", *several, "--nproc-per-node", each, "-m", "nin_onnx")

    def part(self, count: int) -> slice:
        """Return this process's share of `count` things in a row."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """Return `tensor` summed over all processes."""
        if self.size > 1:
            tensor = tensor.clone()
            distributed.all_reduce(tensor)
        return tensor

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the `tensor` of each process: [size, …]."""
        if self.size == 1:
            return tensor[None]
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        distributed.all_gather(parts, tensor)
        return torch.stack(parts)

    def any(self, flags: Iterable[bool], device: torch.device) -> tuple[bool, ...]:
        """Return for each flag whether it is set in at least one process."""
        if self.size == 1:
            return tuple(flags)
        counts = self.sum(torch.tensor(list(flags), dtype=torch.int64, device=device))
        return tuple(bool(count) for count in counts.tolist())

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite `tensors` in every process with those of the main process."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            distributed.barrier()


def launched() -> bool:
    """Return whether torchrun started this process; others set a RANK too, for processes that do not train together."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_main() -> bool:
    """Return whether this is the process that writes and prints: the first of a group, or one alone."""
    return not launched() or os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(device: torch.device) -> Iterator[ProcessGroup]:
    """Enter the group of this process; a call within another returns the same group.

    If one process ends, the others end too, each with a `TrainingError`. Raise `NinOnnxError` if they do not find each other.
    """
    if not launched():
        yield ProcessGroup()
        return
    if distributed.is_initialized():  # a second group would find the addresses of the first one under its own keys
        yield _current()
        return
    _initialize(device)
    group = _current()
    try:
        yield group
    except BaseException as error:
        # With NCCL, one that leaves may wait for those that never come, until torchrun ends it.
        if device.type == "cpu" or _all_raise(error):
            traceback.clear_frames(error.__traceback__)
            _destroy()
        if isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error)):
            raise TrainingError(f"process {group.rank} lost another process of this training; see that one's log") from error
        raise
    _destroy()


def _initialize(device: torch.device) -> None:
    try:
        if device.type == "cuda":
            distributed.init_process_group("nccl", timeout=TIMEOUT, device_id=device)
        else:
            distributed.init_process_group("gloo", timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        reason = textwrap.shorten(str(error), 200)
        raise NinOnnxError(f"this process could not join the others of its training ({reason}): start them all again") from error


def _current() -> ProcessGroup:
    return ProcessGroup(distributed.get_rank(), distributed.get_world_size())


def _all_raise(error: BaseException) -> bool:
    """Return whether all processes raise this in the same step: a stop that they agreed on, or a training that collapsed.

    A second Ctrl-C, which stops one of them at once, is the cause of its `Interrupted`.
    """
    return isinstance(error, Interrupted | TrainingError) and error.__cause__ is None


def _destroy() -> None:
    """End the group, after freeing what refers to it: gloo's threads would abort the interpreter at its exit."""
    gc.collect()
    distributed.destroy_process_group()
