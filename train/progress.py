"""How a training shows its progress: a bar within the epoch on a terminal, and a line after each epoch."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from torch import Tensor

from nin_onnx.run import Epoch

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

__all__ = ["Bar", "bar", "duration", "line"]

REFRESH = 1.0  # seconds between two looks at the device, each of which waits for it


@dataclass
class Bar:
    """The bar of one epoch: progress, loss, error, images a second, time left."""

    shown: "ProgressBar[int]"
    label: str
    hidden: bool
    seen: int
    looked: float = 0.0

    def show(self, images: int, sums: Tensor, seconds: float) -> None:
        """Show that `images` more were trained on; `sums` [2] of loss and errors, and `seconds`, are of the whole epoch."""
        self.seen += images
        if self.hidden:
            return
        if time.monotonic() - self.looked >= REFRESH:
            self.looked = time.monotonic()
            loss, wrong = sums.tolist()
            mean, error = loss / self.seen, 100 * wrong / self.seen
            self.shown.label = f"{self.label}  loss {mean:.4f}  error {error:.2f} %  {self.seen / seconds:,.0f} images/s"
        self.shown.update(images)


@contextmanager
def bar(images: int, seen: int, label: str, *, hidden: bool) -> Iterator[Bar]:
    """Show a bar over an epoch of `images`, of which `seen` are done, if the error stream is a terminal."""
    stream = sys.stderr
    hidden = hidden or not stream.isatty()
    with click.progressbar(length=images, label=label, file=stream, hidden=hidden, width=20) as shown:
        if not hidden:
            shown.update(seen)
        yield Bar(shown, label, hidden, seen)


def line(epochs: list[Epoch], total: int) -> str:
    """Return the last epoch's figures, and the time that the remaining ones will take."""
    epoch = epochs[-1]
    left = sum(one.seconds for one in epochs) / len(epochs) * (total - epoch.epoch)
    others = (("validation", epoch.validation_error), ("test", epoch.test_error))
    errors = "".join(f"  {name} {error:.2f} %" for name, error in others if error is not None)
    return (
        f"epoch {epoch.epoch:>{len(str(total))}}/{total}  lr {epoch.learning_rate:.4f}  loss {epoch.train_loss:.4f}  "
        f"error {epoch.train_error:.2f} %{errors}  {epoch.images_per_second:,.0f} images/s  {duration(left)} left"
    )


def duration(seconds: float) -> str:
    """Return `seconds` in hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
