"""Ctrl-C, SIGTERM and the end of the time: the training finishes its step and saves."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["requested"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def requested(deadline: float = math.inf) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether one of the signals came, or `deadline` by `time.monotonic` has passed.

    The same signal a second time has its usual effect, and stops at once.
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
