"""Summaries of made-up runs, as the ledger reads them."""

from dataclasses import asdict
from typing import Any

from nin_onnx import recipe
from nin_onnx.data import DATASETS

__all__ = ["COLLAPSED", "summary"]

COLLAPSED: dict[str, Any] = {
    "step": 4,
    "reason": "",
    "device": "cpu",
    "precision": "",
    "hardware": {},
    "versions": {},
    "commit": None,
}


def summary(name: str, *overrides: str, seed: int = 0, errors: int = 60, **changes: Any) -> dict[str, Any]:
    """What `nin-onnx train NAME --set …` leaves, as far as the ledger reads it."""
    settings = recipe.load(name, overrides)
    described = {"name": settings.dataset, "provenance": "official", "fingerprint": "fedcba9876543210"}
    images = DATASETS[settings.dataset].test_images
    return {
        "recipe": settings.name,
        "experiment": settings.experiment,
        "seed": seed,
        "epochs": settings.train.epochs,
        "seconds": 90.0,
        "images_per_second": 1333.3,
        "settings": asdict(settings),
        "device": "cpu",
        "precision": "bfloat16",
        "hardware": {"processor": "Some CPU", "cores": 2},
        "versions": {"torch": "2.13.0", "python": "3.11.7"},
        "commit": "abc123",
        "dataset": {**described, "split": "train", "images": 60_000},
        "test": {**described, "split": "test", "images": images, "errors": errors, "error": 100 * errors / images},
    } | changes
