"""The models that ship with nin-onnx, each a folder as `nin-onnx export` writes it."""

from pathlib import Path

from nin_onnx.errors import ModelError

__all__ = ["DEFAULT", "find", "shipped"]

FOLDER = Path(__file__).parent
DEFAULT = "nin-mnist"


def shipped() -> tuple[str, ...]:
    """Names of the models that ship."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob("*/model.onnx")))


def find(model: str) -> Path:
    """The `.onnx` file that `model` stands for: a file, a model's folder, a run that was exported, or else a shipped name.

    Raises `ModelError`.
    """
    path = Path(model)
    for file in (path, path / "model.onnx", path / "model" / "model.onnx"):
        if file.is_file():
            return file
    if not path.exists() and model in shipped():
        file = FOLDER / model / "model.onnx"
        return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file  # a short path reads better in a report
    if path.is_dir():
        raise ModelError(f"the folder '{model}' holds no model.onnx: make one with nin-onnx export {model}")
    raise ModelError(f"there is no file '{model}', and no shipped model of that name (shipped: {', '.join(shipped())})")
