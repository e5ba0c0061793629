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

PATIENCE = timedelta(hours=2)  # the leader may have a large data set to download and to whiten while the others wait


@dataclass(frozen=True)
class ProcessGroup:
    """The place of this process among `size`."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    @property
    def leads_its_machine(self) -> bool:
        """Whether this is the process that downloads."""
        return self.size == 1 or os.environ.get("LOCAL_RANK", "0") == "0"

    @property
    def launcher(self) -> tuple[str, ...]:
        """What starts such a team again, up to the command of `nin-onnx`."""
        if self.size == 1:
            return ("nin-onnx",)
        machines, each = os.environ.get("GROUP_WORLD_SIZE", "1"), os.environ.get("LOCAL_WORLD_SIZE", str(self.size))
        several = ("--nnodes", machines, "--rdzv-backend", "c10d", "--rdzv-endpoint", "HOST") if machines != "1" else ()
        return ("torchrun", *several, "--nproc-per-node", each, "-m", "nin_onnx")

    def part(self, count: int) -> slice:
        """Which of `count` things in a row fall to this process."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """`tensor` summed over all processes."""
        if self.size > 1:
            tensor = tensor.clone()
            distributed.all_reduce(tensor)
        return tensor

    def gather(self, tensor: Tensor) -> Tensor:
        """The `tensor` of each process: [size, …]."""
        if self.size == 1:
            return tensor[None]
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        distributed.all_gather(parts, tensor)
        return torch.stack(parts)

    def any(self, wishes: Iterable[bool], device: torch.device) -> tuple[bool, ...]:
        """Of each wish, whether one of the processes has it."""
        if self.size == 1:
            return tuple(wishes)
        counts = self.sum(torch.tensor(list(wishes), dtype=torch.int64, device=device))
        return tuple(bool(count) for count in counts.tolist())

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the leader's `tensors`, in their place."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def wait(self) -> None:
        """Go on when every process is here."""
        if self.size > 1:
            distributed.barrier()


def launched() -> bool:
    """Whether torchrun started this; other launchers set a RANK too, of processes that know nothing of each other here."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_main() -> bool:
    """Whether this process speaks for the training: the first of a team, or one alone."""
    return not launched() or os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(device: torch.device) -> Iterator[ProcessGroup]:
    """The team of this process, the same one for a call within another.

    A process that ends takes the others with it, each with its reason (`TrainingError`). Raises `NinOnnxError` where they
    do not find each other.
    """
    if not launched():
        yield ProcessGroup()
        return
    if distributed.is_initialized():  # a second group would find the addresses of the first one under its own keys
        yield _present()
        return
    _meet(device)
    team = _present()
    try:
        yield team
    except BaseException as error:
        # With NCCL, one that leaves may wait for those that never come, until torchrun ends it.
        if device.type == "cpu" or _together(error):
            traceback.clear_frames(error.__traceback__)
            _leave()
        if isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error)):
            raise TrainingError(f"process {team.rank} lost another one of this training: that one says why") from error
        raise
    _leave()


def _meet(device: torch.device) -> None:
    try:
        if device.type == "cuda":
            distributed.init_process_group("nccl", timeout=PATIENCE, device_id=device)
        else:
            distributed.init_process_group("gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        reason = textwrap.shorten(str(error), 200)
        raise NinOnnxError(f"this process could not join the others of its training ({reason}): start them all again") from error


def _present() -> ProcessGroup:
    return ProcessGroup(distributed.get_rank(), distributed.get_world_size())


def _together(error: BaseException) -> bool:
    """Whether all processes end by this in the same step: a stop they agreed on, or the death of the network they share.

    A second Ctrl-C, which stops one of them at once, is the cause of its `Interrupted`.
    """
    return isinstance(error, Interrupted | TrainingError) and error.__cause__ is None


def _leave() -> None:
    """End the group. What still refers to it goes first: gloo's threads would end the interpreter's last moments in SIGABRT."""
    gc.collect()
    distributed.destroy_process_group()
