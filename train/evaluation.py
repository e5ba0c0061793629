"""Counts the images that a classifier gets wrong: in one process, and in all that train together."""

import torch
from torch import Tensor

from nin_onnx.train.device import autocast
from nin_onnx.train.examples import Examples
from nin_onnx.train.network import TorchClassifier, logits
from nin_onnx.train.process_group import ProcessGroup

__all__ = ["count_errors", "error_percent", "total_errors"]


def error_percent(classifier: TorchClassifier, part: Examples | None, group: ProcessGroup, dtype: torch.dtype) -> float | None:
    """Return the error in per cent over the parts of all processes, `part` being this one's; None if there are no images."""
    if part is None:
        return None
    images = int(group.sum(torch.tensor(len(part.labels), device=part.labels.device)))
    return 100 * total_errors(classifier, part, group, dtype) / images if images else None


def total_errors(classifier: TorchClassifier, part: Examples, group: ProcessGroup, dtype: torch.dtype) -> int:
    """Return the number of errors over the parts of all processes, `part` being this one's."""
    wrong = count_errors(classifier, *part, dtype) if len(part.labels) else 0
    return int(group.sum(torch.tensor(wrong, device=part.labels.device)))


def count_errors(
    classifier: TorchClassifier, images: Tensor, labels: Tensor, dtype: torch.dtype = torch.float32, batch: int = 256
) -> int:
    """Return how many `images`, uint8 [N, H, W, C], are misclassified; the classifier is left in its mode."""
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
