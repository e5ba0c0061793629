"""What the tests of single commands share."""

from collections.abc import Callable

import pytest
from click.testing import CliRunner

from nin_onnx.cli import cli


@pytest.fixture(scope="session")
def printed() -> Callable[..., str]:
    """Runs `nin-onnx` with these arguments and gives what it printed; what goes wrong is raised."""

    def call(*arguments: object) -> str:
        done = CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    return call
