"""What a training says of itself."""

import torch

from nin_onnx.train import progress
from nin_onnx.train.run import Epoch


def epoch(number: int, seconds: float, validation: float | None = None) -> Epoch:
    return Epoch(number, 0.05, 1.25, 12.5, validation, seconds, 1234.4)


def test_a_line_has_the_last_epochs_figures_and_the_time_of_those_to_come() -> None:
    assert progress.line([epoch(1, 50), epoch(2, 70)], 12) == (
        "epoch  2/12  rate 0.0500  loss 1.2500  error 12.50 %  1,234 images/s  10 min 00 s left"
    )


def test_a_line_has_the_validation_error_where_there_is_one_and_short_times_in_seconds() -> None:
    assert "error 12.50 %  validation 3.20 %  1,234 images/s  12 s left" in progress.line([epoch(1, 12, 3.2)], 2)


def test_the_bar_gives_every_batch_in_order_and_is_silent_where_nobody_watches() -> None:
    batches = torch.arange(10).split(3)
    assert [rows.tolist() for rows in progress.bar(batches, "epoch 1/2")] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
