"""Ctrl-C, SIGTERM and the end of the time: the training finishes its step, and keeps what it has."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["asked"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def asked(deadline: float = math.inf) -> Iterator[Callable[[], bool]]:
    """A function that tells whether one of the signals came, or `deadline` by `time.monotonic`.

    The same signal once more stops at once, as it does elsewhere.
    """
    came: list[int] = []

    def stopped() -> bool:
        return bool(came) or time.monotonic() >= deadline

    if threading.current_thread() is not threading.main_thread():  # Python gives signals to the main thread only
        yield stopped
        return

    def handler(number: int, frame: FrameType | None) -> None:
        came.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield stopped
    finally:
        for number, former in before.items():
            signal.signal(number, former)
