"""Ctrl-C and SIGTERM: the training finishes its step, and keeps what it has."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["asked"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def asked() -> Iterator[Callable[[], bool]]:
    """A function that tells whether one of the signals came; the same signal once more stops at once, as it does elsewhere."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # Python gives signals to the main thread only
        yield lambda: False
        return

    def handler(number: int, frame: FrameType | None) -> None:
        came.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield lambda: bool(came)
    finally:
        for number, former in before.items():
            signal.signal(number, former)
