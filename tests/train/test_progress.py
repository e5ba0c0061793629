"""What a training says of itself."""

import sys

import pytest
import torch

from nin_onnx.run import Epoch
from nin_onnx.train import progress


def epoch(number: int, seconds: float, validation: float | None = None, test: float | None = None) -> Epoch:
    return Epoch(number, 0.05, 1.25, 12.5, validation, test, seconds, 1234.4)


def test_a_line_has_the_last_epochs_figures_and_the_time_of_those_to_come() -> None:
    assert progress.line([epoch(1, 50), epoch(2, 70)], 12) == (
        "epoch  2/12  lr 0.0500  loss 1.2500  error 12.50 %  1,234 images/s  10 min 00 s left"
    )


def test_a_line_has_the_validation_error_where_there_is_one_and_short_times_in_seconds() -> None:
    assert "error 12.50 %  validation 3.20 %  1,234 images/s  12 s left" in progress.line([epoch(1, 12, 3.2)], 2)


def test_a_line_has_the_test_error_where_it_is_counted() -> None:
    assert "error 12.50 %  test 4.10 %  1,234 images/s" in progress.line([epoch(1, 12, test=4.1)], 2)


@pytest.mark.parametrize(("seconds", "left"), [(59.4, "59 s left"), (60, "1 min 00 s left"), (7260, "2 h 01 min left")])
def test_the_time_left_is_in_units_that_suit_it(seconds: float, left: str) -> None:
    assert progress.line([epoch(1, seconds)], 2).endswith(left)


def show(capsys: pytest.CaptureFixture[str]) -> str:
    """What the bar of an epoch of 40 images writes."""
    with progress.bar(40, 10, "epoch 1/2", hidden=False) as bar:
        for _ in range(3):
            bar.show(10, torch.tensor([40.0, 5.0]), 2.0)
    return capsys.readouterr().err


def test_the_bar_is_silent_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(capsys) == ""


def test_the_bar_shows_loss_error_and_speed_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown = show(capsys)
    assert "epoch 1/2  loss 2.0000  error 25.00 %  10 images/s" in shown  # of the first 20 images
    assert "100%" in shown
