"""What `nin-onnx show` counts in an exported graph is what the table says, for every architecture."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from nin_onnx.architecture import ARCHITECTURES, architecture
from nin_onnx.cli import cli
from nin_onnx.costs import multiply_adds, parameters
from nin_onnx.export import export_run

QUICK = "nin-digits"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name == QUICK else pytest.mark.slow) for name in ARCHITECTURES])
@pytest.mark.parametrize(
    "steps", [("scale", "standardize"), pytest.param(("gcn55", "zca"), marks=pytest.mark.slow)], ids="-".join
)
def test_the_sums_over_a_graph_are_those_of_its_table(
    name: str, steps: tuple[str, ...], make_run: Callable[..., Path], tmp_path: Path
) -> None:
    model = export_run(make_run(tmp_path / "run", name, steps)).model
    totals = json.loads(CliRunner().invoke(cli, ["show", str(model), "--json"], catch_exceptions=False).output)["totals"]
    table = architecture(name)
    assert totals == {"parameters": parameters(table), "multiply_adds": multiply_adds(table)}
