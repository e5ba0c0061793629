"""What an export may replace: an earlier one, and nothing that anybody else put beside or into it."""

import re
from itertools import product, starmap
from pathlib import Path

from nin_onnx.errors import RunError
from nin_onnx.export.bundles import BUNDLES
from nin_onnx.golden import FOLDER
from nin_onnx.precision import VARIANTS
from nin_onnx.variants import INPUTS, folder_name

__all__ = ["check_overwrite"]

FOLDERS = "|".join(filter(None, starmap(folder_name, product(VARIANTS, INPUTS))))
WRITTEN = re.compile(
    "|".join(
        [
            r"README\.md",
            r"model\.safetensors",
            rf"(?:(?:{FOLDERS})/)?(?:model\.onnx|{FOLDER}/(?:in|out)put_\d+\.pb)",
            *(rf"{name}/(?:{bundle.files})" for name, bundle in BUNDLES.items()),
        ]
    )
)
"""The paths, from the model's folder, of all that an export writes."""
ALWAYS = {"README.md", "model.onnx", f"{FOLDER}/input_0.pb"}


def check_overwrite(target: Path) -> None:
    """Raise `RunError` unless `target` is absent, an empty folder, or an earlier export and nothing else."""
    if target.is_dir() and any(target.iterdir()):
        inside = (path for path in target.rglob("*") if path.is_symlink() or not path.is_dir())
        files = {path.relative_to(target).as_posix() for path in inside}
        replaceable = files >= ALWAYS and all(map(WRITTEN.fullmatch, files))
    else:
        replaceable = target.is_dir() or not target.exists()
    if not replaceable:
        raise RunError(f"'{target}' is not only an earlier export, so it is not replaced: choose another --out")
