"""Whether a training is still alive: a loss that is a number, and gradients that reach the first layer."""

import math

from nin_onnx.errors import TrainingError

__all__ = ["check_alive"]

DEAD_AFTER = 20  # steps without a gradient: after fewer, momentum may still carry the weights back to life


def check_alive(loss: float, silent: int, step: int, classes: int, learning_rate: float) -> None:
    """Raise `TrainingError` for a `loss` that is no number, or after too many `silent` steps: none with a gradient."""
    if not math.isfinite(loss):
        raise TrainingError(f"the loss became {loss} by step {step}: lower optimizer.learning_rate ({learning_rate})", step)
    if silent >= DEAD_AFTER:
        raise TrainingError(
            f"the network is dead at step {step}: a whole layer is 0 after its ReLU for every image, so no gradient passes "
            f"it and the loss stays at ln {classes} = {math.log(classes):.4f}; start again with another --seed or a lower "
            f"optimizer.learning_rate",
            step,
        )
