"""What the tests of interrupted runs share: a Ctrl-C in a given step, and what two runs have in common."""

import csv
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nin_onnx.errors import Interrupted
from nin_onnx.train.learner import Learner

Stop = Callable[..., Interrupted]
Rows = Callable[[Path], list[dict[str, str]]]
Same = Callable[[Path, Path], bool]


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> Stop:
    """Run a training until the user presses Ctrl-C in step `number`."""

    def stopped(number: int, run: Callable[[], Any], signals: int = 1) -> Interrupted:
        step = Learner.step

        def interrupted(self: Learner, rows: torch.Tensor, now: int) -> Any:
            for _ in range(signals if now == number else 0):
                signal.raise_signal(signal.SIGINT)
            return step(self, rows, now)

        with monkeypatch.context() as patch:
            patch.setattr(Learner, "step", interrupted)
            with pytest.raises(Interrupted) as raised:
                run()
        return raised.value

    return stopped


@pytest.fixture(scope="session")
def rows() -> Rows:
    """The lines of a run's `metrics.csv` without what the clock decides."""

    def read(folder: Path) -> list[dict[str, str]]:
        with (folder / "metrics.csv").open() as file:
            return [
                {key: value for key, value in row.items() if key not in ("seconds", "images_per_second")}
                for row in csv.DictReader(file)
            ]

    return read


@pytest.fixture(scope="session")
def same(rows: Rows) -> Same:
    """Whether two ended runs have the same weights and, but for the clock, the same metrics."""

    def compared(one: Path, other: Path) -> bool:
        weights = [(folder / "model.safetensors").read_bytes() for folder in (one, other)]
        return weights[0] == weights[1] and rows(one) == rows(other)

    return compared
