"""What all tests share: the real data sets, Hypothesis' settings, and the option that makes an unexpected skip a failure."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["tiny_training"]

EXPECTED_SKIPS = (
    "no NVIDIA GPU",
    "no limit of memory can be set",
    "no bfloat16 in this processor",
    "no x86-64 processor",
    "no small disk can be mounted",
    "no /proc/cpuinfo",
)
"""Reasons that stand even under `--no-skips`: what a machine has not got, no installation brings."""

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # networks as small as the tests' gain nothing from threads, and lose on a busy machine

if not Path("/dev/nvidiactl").exists():  # with a GPU the kernels themselves are tested
    os.environ["TRITON_INTERPRET"] = "1"  # here, since Triton reads it when it is imported, and some packages import it

settings.register_profile("nin-onnx", deadline=None)  # a busy machine is no failure; pytest-timeout catches what hangs
settings.load_profile("nin-onnx")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real data sets; the test is skipped where it is absent."""
    folder = Path(os.environ.get("NIN_ONNX_DATA") or os.devnull)
    if not all((folder / name).is_dir() for name in ("mnist", "cifar-10-batches-bin", "cifar-100-binary")):
        pytest.skip("real data absent: set NIN_ONNX_DATA")
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help=f"fail on skips, except for: {', '.join(EXPECTED_SKIPS)}")


def unexpected_skips(config: pytest.Config) -> list[str]:
    """Place and reason of every skip that `--no-skips` does not stand for."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not config.getoption("--no-skips") or reporter is None:
        return []
    reasons = [(report.nodeid, report.longrepr[2]) for report in reporter.stats.get("skipped", ())]
    return [f"{test}: {reason}" for test, reason in reasons if not any(known in reason for known in EXPECTED_SKIPS)]


def pytest_sessionfinish(session: pytest.Session) -> None:
    if unexpected_skips(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if skips := unexpected_skips(config):
        terminalreporter.section("unexpected skips (--no-skips)", red=True)
        for line in skips:
            terminalreporter.line(line)
