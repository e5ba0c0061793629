"""How many images a classifier gets wrong."""

import torch
from torch import Tensor

from nin_onnx.train.device import autocast
from nin_onnx.train.network import Classifier, logits

__all__ = ["count_errors"]


def count_errors(
    classifier: Classifier, images: Tensor, labels: Tensor, dtype: torch.dtype = torch.float32, batch: int = 256
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
