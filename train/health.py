"""Whether a training can still succeed: its loss is finite, and gradients reach the first layer."""

import math

from nin_onnx.errors import TrainingError

__all__ = ["check_not_collapsed"]

MAX_STEPS_WITHOUT_GRADIENT = 20  # after fewer, momentum may still bring gradients back


def check_not_collapsed(loss: float, steps_without_gradient: int, step: int, classes: int, learning_rate: float) -> None:
    """Raise `TrainingError` if `loss` is not finite, or after too many steps without a gradient."""
    if not math.isfinite(loss):
        raise TrainingError(f"the loss became {loss} by step {step}: lower optimizer.learning_rate ({learning_rate})", step)
    if steps_without_gradient >= MAX_STEPS_WITHOUT_GRADIENT:
        raise TrainingError(
            f"the training collapsed at step {step} (dead ReLUs): a whole layer is 0 after its ReLU for every image, so no "
            f"gradient passes it and the loss stays at ln {classes} = {math.log(classes):.4f}; start again with another --seed "
            f"or a lower optimizer.learning_rate",
            step,
        )
