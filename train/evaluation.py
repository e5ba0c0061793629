"""How many images a classifier gets wrong: in one process, and in all that train together."""

import torch
from torch import Tensor

from nin_onnx.train.device import autocast
from nin_onnx.train.examples import Examples
from nin_onnx.train.network import TorchClassifier, logits
from nin_onnx.train.process_group import ProcessGroup

__all__ = ["count_errors", "error_of_all", "errors_of_all"]


def error_of_all(classifier: TorchClassifier, judged: Examples | None, team: ProcessGroup, dtype: torch.dtype) -> float | None:
    """Return the per cent of wrong answers to the images that all processes judge, each its own; None if there are none."""
    if judged is None:
        return None
    device = judged.labels.device
    images = int(team.sum(torch.tensor(len(judged.labels), device=device)))
    return 100 * errors_of_all(classifier, judged, team, dtype) / images if images else None


def errors_of_all(classifier: TorchClassifier, judged: Examples, team: ProcessGroup, dtype: torch.dtype) -> int:
    """Return how many of the images that all processes judge are wrong."""
    wrong = count_errors(classifier, *judged, dtype) if len(judged.labels) else 0
    return int(team.sum(torch.tensor(wrong, device=judged.labels.device)))


def count_errors(
    classifier: TorchClassifier, images: Tensor, labels: Tensor, dtype: torch.dtype = torch.float32, batch: int = 256
) -> int:
    """Images of uint8 [N, H, W, C] whose highest logit is not their label's; the classifier is left in its mode."""
    was_training = classifier.training
    classifier.eval()
    wrong = torch.zeros((), dtype=torch.int64, device=images.device)
    with torch.inference_mode():
        for part, truth in zip(images.split(batch), labels.split(batch), strict=True):
            x = classifier.preprocessing(part).contiguous(memory_format=torch.channels_last)
            with autocast(images.device, dtype):
                scores = logits(classifier.network(x).float())
            wrong += (scores.argmax(1) != truth).sum()
    classifier.train(was_training)
    return int(wrong)
