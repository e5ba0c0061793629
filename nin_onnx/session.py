"""An image classifier in ONNX Runtime: what its graph takes and gives, and a session that runs where it was asked to."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nin_onnx.errors import ModelError, NinOnnxError, UnknownNameError, require

__all__ = ["Provider", "Signature", "open_session", "read_signature"]

Provider = str | tuple[str, dict[str, Any]]
"""ONNX Runtime's name of a back end, alone or with its options."""

TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


@dataclass(frozen=True)
class Signature:
    """What the graph takes and gives; None stands for a size that it leaves free."""

    input: str
    dtype: type
    batch: int | None
    height: int | None
    width: int | None
    channels: int
    planar: bool
    """Whether the channels come before height and width."""
    scores: str
    """The output with a number for each class."""
    classes: int | None
    class_maps: str | None


def open_session(path: str, providers: Sequence[Provider], threads: int | None) -> Any:
    """A session that runs with the first of `providers`, or else an error: ONNX Runtime would fall back without a word."""
    require("Classifier", "cpu", "onnxruntime")
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # from version 1.29 on, to import it is to report to its makers
    import onnxruntime

    names = [one if isinstance(one, str) else one[0] for one in providers]
    known = onnxruntime.get_available_providers()
    if not names:
        raise NinOnnxError(f"no providers were given: expected one or more of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise UnknownNameError("provider", name, known)
    if threads is not None and threads < 1:
        raise NinOnnxError(f"threads '{threads}': expected 1 or more")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors: that a machine has no GPU is none
    options.intra_op_num_threads = threads or 0
    try:
        session = onnxruntime.InferenceSession(path, options, providers=list(providers))
    except Exception as error:  # its own kinds, and they are many
        reason = " ".join(str(error).split())
        raise ModelError(f"ONNX Runtime cannot load '{path}' ({reason}): export it again, or give another") from error
    ran = session.get_providers()
    if ran[:1] != names[:1]:
        raise NinOnnxError(f"the provider '{names[0]}' cannot run here, '{ran[0]}' would: nin-onnx doctor says what it lacks")
    return session


def read_signature(path: str, session: Any) -> Signature:
    """What the graph at `path` takes and gives; raises `ModelError` for what is no classifier of gray or RGB images."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shape = inputs[0].shape if inputs else []
    planar = len(shape) == 4 and shape[3] not in (1, 3)
    if len(inputs) != 1 or inputs[0].type not in TYPES or len(shape) != 4 or shape[1 if planar else 3] not in (1, 3):
        raise ModelError(
            f"'{path}' should take gray or RGB images, [batch, height, width, channels] or [batch, channels, height, width], "
            f"it takes '{_told(inputs)}': give another model"
        )
    floats = {value.name: value.shape for value in outputs if TYPES.get(value.type, np.uint8) is not np.uint8}
    scores = [name for name, sides in floats.items() if len(sides) >= 2 and all(side == 1 for side in sides[2:])]
    if not scores:
        raise ModelError(f"'{path}' should give scores, [batch, classes], it gives '{_told(outputs)}': give a classifier")
    chosen = next((name for name in ("probabilities", "logits") if name in scores), scores[0])
    batch, one, two, three = (side if isinstance(side, int) else None for side in shape)
    height, width, channels = (two, three, one) if planar else (one, two, three)
    return Signature(
        input=inputs[0].name,
        dtype=TYPES[inputs[0].type],
        batch=batch,
        height=height,
        width=width,
        channels=channels or 0,
        planar=planar,
        scores=chosen,
        classes=classes if isinstance(classes := floats[chosen][1], int) else None,
        class_maps="class_maps" if "class_maps" in floats else None,
    )


def _told(values: Sequence[Any]) -> str:
    return ", ".join(f"{value.name}: {value.type} [{', '.join(map(str, value.shape))}]" for value in values)
