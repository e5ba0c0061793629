"""Every error rate that the paper publishes, each with the place where it stands.

Source: Lin, Chen, Yan, "Network in Network", arXiv:1312.4400 v3, Tables 1-5, sections 4.2 and 4.6, Figure 3.
"""

import json
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PUBLISHED", "Figure3", "Published", "figure3", "published"]


@dataclass(frozen=True)
class Published:
    """One published test error, in per cent; `experiment` names those that a recipe can repeat."""

    place: str
    dataset: str
    method: str
    error: float
    experiment: str | None = None


PUBLISHED = (
    Published("Table 1", "cifar10", "Stochastic pooling", 15.13),
    Published("Table 1", "cifar10", "CNN + Spearmint", 14.98),
    Published("Table 1", "cifar10", "Conv. maxout + dropout", 11.68),
    Published("Table 1", "cifar10", "NIN + dropout", 10.41, "cifar10"),
    Published("Table 1", "cifar10", "CNN + Spearmint, augmented", 9.50),
    Published("Table 1", "cifar10", "Conv. maxout + dropout, augmented", 9.38),
    Published("Table 1", "cifar10", "DropConnect, 12 networks, augmented", 9.32),
    Published("Table 1", "cifar10", "NIN + dropout, augmented", 8.81, "cifar10-augmented"),
    Published("§4.2", "cifar10", "NIN without dropout", 14.51, "cifar10-no-dropout"),
    Published("Table 2", "cifar100", "Learned pooling", 43.71),
    Published("Table 2", "cifar100", "Stochastic pooling", 42.51),
    Published("Table 2", "cifar100", "Conv. maxout + dropout", 38.57),
    Published("Table 2", "cifar100", "Tree based priors", 36.85),
    Published("Table 2", "cifar100", "NIN + dropout", 35.68, "cifar100"),
    Published("Table 3", "svhn", "Stochastic pooling", 2.80),
    Published("Table 3", "svhn", "Rectifier + dropout", 2.78),
    Published("Table 3", "svhn", "Rectifier + dropout + synthetic translation", 2.68),
    Published("Table 3", "svhn", "Conv. maxout + dropout", 2.47),
    Published("Table 3", "svhn", "NIN + dropout", 2.35, "svhn"),
    Published("Table 3", "svhn", "Multi-digit number recognition", 2.16),
    Published("Table 3", "svhn", "DropConnect", 1.94),
    Published("Table 4", "mnist", "2-layer CNN + 2-layer NN", 0.53),
    Published("Table 4", "mnist", "Stochastic pooling", 0.47),
    Published("Table 4", "mnist", "NIN + dropout", 0.47, "mnist"),
    Published("Table 4", "mnist", "Conv. maxout + dropout", 0.45),
    Published("Table 5", "cifar10", "mlpconv + fully connected", 11.59, "cifar10-fc"),
    Published("Table 5", "cifar10", "mlpconv + fully connected + dropout", 10.88, "cifar10-fc-dropout"),
    Published("Table 5", "cifar10", "mlpconv + global average pooling", 10.41, "cifar10"),
    Published("§4.6", "cifar10", "Conventional CNN, fully connected", 17.56, "cnn-fc"),
    Published("§4.6", "cifar10", "Conventional CNN, fully connected + dropout", 15.99, "cnn-fc-dropout"),
    Published("§4.6", "cifar10", "Conventional CNN, global average pooling", 16.46, "cnn-gap"),
)


def published(experiment: str) -> Published | None:
    """The figure that an experiment is measured by, or None where the paper has none."""
    return next((row for row in PUBLISHED if row.experiment == experiment), None)


@dataclass(frozen=True)
class Figure3:
    """The two curves that Figure 3 has of one experiment, as pairs (epoch, error in per cent), to about a point."""

    train: tuple[tuple[int, float], ...]
    """Error of the training passes, dropout on."""
    test: tuple[tuple[int, float], ...]


def figure3(experiment: str | None) -> Figure3 | None:
    """The curves of an experiment in Figure 3, digitized, or None where the figure does not have it."""
    digitized = json.loads((Path(__file__).parent / "figure3.json").read_text(encoding="utf-8"))
    del digitized["source"]
    if experiment not in digitized:
        return None
    curves = digitized[experiment]
    return Figure3(*(tuple((epoch, round(100 * error, 1)) for epoch, error in curves[name]) for name in ("train", "test")))
