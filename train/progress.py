"""How a training tells where it is: a bar within the epoch where somebody watches, a line after each."""

import sys
from collections.abc import Iterator

import click
from torch import Tensor

from nin_onnx.train.run import Epoch

__all__ = ["bar", "line"]


def bar(batches: tuple[Tensor, ...], label: str) -> Iterator[Tensor]:
    """The batches, under a bar with the time left if the error stream is a terminal."""
    stream = sys.stderr
    with click.progressbar(batches, label=label, file=stream, hidden=not stream.isatty()) as watched:
        yield from watched


def line(epochs: list[Epoch], total: int) -> str:
    """The last epoch's figures, and the time that those to come will take."""
    epoch = epochs[-1]
    left = sum(one.seconds for one in epochs) / len(epochs) * (total - epoch.epoch)
    others = (("validation", epoch.validation_error), ("test", epoch.test_error))
    judged = "".join(f"  {name} {error:.2f} %" for name, error in others if error is not None)
    return (
        f"epoch {epoch.epoch:>{len(str(total))}}/{total}  rate {epoch.learning_rate:.4f}  loss {epoch.train_loss:.4f}  "
        f"error {epoch.train_error:.2f} %{judged}  {epoch.images_per_second:,.0f} images/s  {_duration(left)} left"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
