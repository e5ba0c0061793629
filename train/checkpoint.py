"""Checkpoints: one safetensors file each, its description as JSON in the file's header; written whole or not at all."""

import hashlib
import json
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from nin_onnx import atomic, recipe
from nin_onnx.errors import NinOnnxError, RunError
from nin_onnx.recipe import Recipe
from nin_onnx.recipe.renamed import STEPS
from nin_onnx.train import preprocessing
from nin_onnx.train.network import Network, TorchClassifier

__all__ = ["Checkpoint", "build_classifier", "load_classifier", "read", "save_classifier", "sha256", "write"]

KEY = "nin_onnx"  # the only entry of the header: safetensors writes several in no fixed order


@dataclass(frozen=True)
class Checkpoint:
    """The description that is stored with the weights of a trained classifier."""

    recipe: Recipe
    seed: int
    labels: tuple[str, ...]
    dataset: Mapping[str, Any]
    """Training data: name, split, images, provenance, fingerprint."""
    versions: Mapping[str, str]
    """Packages it was trained with."""


def write(path: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write `tensors` and `description` to `path` in one move."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {KEY: json.dumps(description, sort_keys=True)}
    atomic.write_bytes(path, safetensors.torch.save(contiguous, metadata=header))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the description in `path`; raise `RunError` for anything but one of our checkpoints."""
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})[KEY])
            tensors = {_current(name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RunError(f"'{path}' is not a nin-onnx checkpoint ({error}): train again, or give another run") from error
    return tensors, description


def build_classifier(recipe: Recipe, classes: int | None = None) -> TorchClassifier:
    """Return the untrained classifier of `recipe`, with that many `classes` if its data is an image folder."""
    settings, table = recipe.network, recipe.table(classes)
    network = Network(table, last_relu=settings.last_relu, dropout=settings.dropout, dropout_scaling=settings.dropout_scaling)
    return TorchClassifier(preprocessing.build(recipe.preprocessing, table.input), network)


def save_classifier(path: Path, weights: Mapping[str, Tensor], checkpoint: Checkpoint) -> None:
    """Write a classifier's weights with all that is needed to build it again, and its origin."""
    write(path, weights, asdict(checkpoint))


def load_classifier(path: Path) -> tuple[TorchClassifier, Checkpoint]:
    """Return the classifier in `path`, in evaluation mode, and its description; raise `RunError`."""
    tensors, description = read(path)
    try:
        trained = recipe.from_dict(description["recipe"], path.name)
        labels = tuple(description["labels"])
        checkpoint = Checkpoint(trained, description["seed"], labels, description["dataset"], description["versions"])
        classifier = build_classifier(trained, len(labels))
        classifier.load_state_dict(tensors)
        for step in classifier.preprocessing:
            assert isinstance(step, preprocessing.Step)
            step.settle()
    except (KeyError, TypeError, AttributeError, RuntimeError, NinOnnxError) as error:
        reason = textwrap.shorten(str(error), 200)
        raise RunError(f"'{path}' cannot be used by this version of nin-onnx ({reason}): train again") from error
    return classifier.eval(), checkpoint


def _current(name: str) -> str:
    """Return the name that a tensor has now, if a step of the preprocessing was renamed."""
    return ".".join(STEPS.get(part, part) for part in name.split("."))


def sha256(path: Path) -> str:
    """Return the SHA-256 of the file, in hexadecimal, by which a model card names its weights."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
