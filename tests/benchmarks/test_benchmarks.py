"""The benchmarks, with the smallest settings: each runs to its end, and its figures fit each other."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nin_onnx.train import device

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def printed(script: str, *options: str, data: Path | None = None) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | ({"NIN_ONNX_DATA": str(data)} if data else {})
    command = [sys.executable, str(ROOT / "benchmarks" / script), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(text: str) -> list[list[str]]:
    """The cells of each line of its tables."""
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| ")]


def number(text: str) -> float:
    """The first number in it."""
    (found, *_) = re.findall(r"-?[\d,]*\.?\d+", text)
    return float(found.replace(",", ""))


BRIEFLY = ("--device", "cpu", "--rounds", "1", "--steps", "1")
WITHOUT_BF16 = """
import runpy, sys
from nin_onnx.train import device
device._cpu_has_bf16 = lambda: False
sys.path.insert(0, str(sys.argv[1]).rpartition("/")[0])
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_training_loops_stand_beside_ours_with_their_ratio() -> None:
    text = printed("training.py", *BRIEFLY)
    table = {row[0]: row for row in rows(text)}
    ours = number(table["nin-onnx"][1])
    bf16 = device.precision("auto", torch.device("cpu")) == torch.bfloat16
    assert ("Left out: plain, bf16" in text) is not bf16
    for name in ("plain", "plain, bf16") if bf16 else ("plain",):
        speed, ratio = number(table[name][1]), number(table[name][3])
        assert ours / speed == pytest.approx(ratio, abs=0.01 + ratio / speed)  # images/s are printed whole


def test_what_a_processor_without_bf16_would_have_to_emulate_is_left_out_and_named() -> None:
    script = str(ROOT / "benchmarks" / "training.py")
    command = [sys.executable, "-c", WITHOUT_BF16, script, *BRIEFLY]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert [row[0] for row in rows(done.stdout)][2:] == ["plain", "nin-onnx"]
    assert "(bfloat16)" not in done.stdout
    assert "Left out: plain, bf16. The cpu has no bfloat16" in done.stdout


def test_every_form_is_measured_at_every_batch_and_the_fp32_graph_is_once_as_fast_as_itself() -> None:
    found = rows(printed("inference.py", "--rounds", "1", "--images", "1"))
    forms = [(batch, form, ratio) for batch, form, _, _, ratio, *_ in (row for row in found if len(row) == 7)]
    assert [(batch, form) for batch, form, _ in forms[2:]] == [
        (batch, form) for batch in ("1", "32", "128") for form in ("PyTorch", "fp32", "fp16", "int8")
    ]
    assert {ratio for _, form, ratio in forms if form == "fp32"} == {"1.00 ×"}
    costs = [row[:2] for row in found if len(row) == 4][2:]
    assert costs == [[batch, steps] for batch in ("1", "32", "128") for steps in ("none", "standardize", "GCN + ZCA")]


def test_the_overhead_of_eval_is_what_it_took_less_what_the_runtime_took(data_dir: Path) -> None:
    text = printed("eval_overhead.py", "--images", "128", "--repeats", "1", data=data_dir)
    whole, own, over = (number(line.split("  ", 1)[1]) for line in text.splitlines()[2:])
    assert 0 < own < whole
    assert over == pytest.approx(whole - own, abs=0.02)


def test_the_first_answer_comes_before_the_process_ends_and_the_next_ones_sooner() -> None:
    first, whole, further = (
        number(line.split("  ", 1)[1]) for line in printed("first_answer.py", "--processes", "1").splitlines()[2:]
    )
    assert 0 < further / 1000 < first < whole
