"""The models that ship with nin-onnx, each a folder as `nin-onnx export` writes it."""

import shlex
from pathlib import Path

from nin_onnx.errors import ModelError

__all__ = ["DEFAULT", "find", "shipped"]

FOLDER = Path(__file__).parent
DEFAULT = "nin-mnist"


def shipped() -> tuple[str, ...]:
    """Names of the models that ship."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob("*/model.onnx")))


def find(model: str) -> Path:
    """The `.onnx` file that `model` stands for: a file, a model's folder, a run that was exported, or else what ships.

    That is a name, or name/variant for another form of the same network, as in nin-mnist/int8. Raises `ModelError`.
    """
    path = Path(model)
    for file in (path, path / "model.onnx", path / "model" / "model.onnx"):
        if file.is_file():
            return file
    file = FOLDER / model / "model.onnx"
    if not path.exists() and model.split("/")[0] in shipped() and file.is_file():
        return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file  # a short path reads better in a report
    if path.is_dir():
        raise ModelError(f"the folder '{model}' holds no model.onnx: make one with nin-onnx export {shlex.quote(model)}")
    raise ModelError(f"there is no file '{model}', and no shipped model of that name (shipped: {', '.join(shipped())})")
