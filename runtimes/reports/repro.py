"""`--repro`: what it takes to see a failure again, without nin-onnx: the model, the inputs, both outputs, the versions."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from nin_onnx import atomic
from nin_onnx.golden import Golden
from nin_onnx.machine import hardware, versions
from nin_onnx.runtimes.model import ModelFile
from nin_onnx.runtimes.rows import Row
from nin_onnx.runtimes.workers.job import Feed, Result

__all__ = ["write_repro"]


def write_repro(target: Path, row: Row, model: ModelFile, golden: Golden, feeds: Mapping[str, Feed], result: Result) -> None:
    """Write `target`/RUNTIME where the row failed.

    model.onnx, and beside it the weights that it keeps in other files
    golden/images.npy, expected-NAME.npy, given-NAME.npy
    batch 7/images.npy, given-NAME.npy, and so on for what else was tried
    report.json: the row, versions, hardware
    """
    if row.outcome != "fail":
        return
    with atomic.whole_folder(target / row.runtime) as folder:
        shutil.copy(model.path, folder / "model.onnx")
        for file in model.external:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(model.path.parent / file, folder / file)
        for name, outputs in result.feeds.items():
            if name == "dataset":  # whoever has it needs no copy
                continue
            (folder / name).mkdir()
            shutil.copy(feeds[name].file, folder / name / "images.npy")
            for output, array in outputs.arrays.items():
                np.save(folder / name / f"given-{_file_name(output)}.npy", array, allow_pickle=False)
        for output, array in golden.outputs.items():
            np.save(folder / "golden" / f"expected-{_file_name(output)}.npy", array, allow_pickle=False)
        facts = {"row": asdict(row), "versions": versions(("numpy", "onnx")), "hardware": hardware()}
        (folder / "report.json").write_text(json.dumps(facts, indent=2), encoding="utf-8")


def _file_name(output: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in output)
