"""Training: a recipe becomes a checkpoint."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nin_onnx.train.trainer import resume, train

__all__ = ["resume", "train"]


def __getattr__(name: str) -> Any:
    """Return `train` or `resume`, imported when it is first asked for: they need torch."""
    if name in __all__:
        from nin_onnx.train import trainer

        return getattr(trainer, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
