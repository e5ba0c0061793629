"""Help, version, and commands that are used wrongly or lack a package."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import nin_onnx
from nin_onnx import cli
from nin_onnx.commands import doctor
from nin_onnx.runtimes.backends import npm

if TYPE_CHECKING:
    from tests.core.cli.conftest import Command, Start


def test_help_names_the_commands_and_the_exit_statuses(command: "Command") -> None:
    result = command("--help")
    assert (result.status, result.err) == (0, "")
    for name in ("train", "plot", "export", "eval", "data", "results"):
        assert re.search(rf"^  {name} +\S", result.out, re.MULTILINE)
    words = " ".join(result.out.split())
    assert "Exit status: 0 all that was asked for passed; 1 a check failed" in words
    assert "2 wrong usage, or nothing could run; 130 interrupted." in words


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_help_of_a_command_explains_its_arguments_and_options(name: str, command: "Command") -> None:
    result = command(name, "-h")
    assert (result.status, result.err) == (0, "")
    usage, _, text = result.out.partition("\n")
    assert usage.startswith(f"Usage: nin-onnx {name} [OPTIONS]")
    assert [word for word in re.findall(r"[A-Z]{2,}", usage) if word not in text] == ["OPTIONS"]
    assert [option.opts for option in cli.command(name).params if isinstance(option, click.Option) and not option.help] == []


def test_without_a_command_the_help_is_shown(start: "Start", tmp_path: Path) -> None:
    result = start(cwd=tmp_path).ended()
    assert result.out.startswith("Usage: nin-onnx [OPTIONS] COMMAND")
    assert (result.status, result.err) == (2, "")


def test_the_version_is_the_package_s(command: "Command") -> None:
    assert command("--version") == (0, f"nin-onnx, version {nin_onnx.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["exprot"], ["'exprot'", "'export'", "nin-onnx --help"]),
        (["export", "--ouput", "x"], ["--ouput", "--out", "nin-onnx export --help"]),
        (["export"], ["RUN", "nin-onnx export --help"]),
        (["plot"], ["RUN", "nin-onnx plot --help"]),
        (["plot", "run", "--out", "curves.gif"], ["'curves.gif'", ".png, .svg, .pdf", "nin-onnx plot --help"]),
        (["plot", "absent"], ["'absent' is not a run folder", "nin-onnx train RECIPE --out absent"]),
        (["train"], ["digits, mnist", "nin-onnx train --help"]),
        (["train", "digits", "--resume", "run"], ["--resume", "nin-onnx train --help"]),
        (["train", "digits", "--seed", "-1"], ["--seed", "-1", "nin-onnx train --help"]),
        (["train", "digts"], ["unknown recipe 'digts'", "did you mean 'digits'?"]),
        (["train", "absent.toml"], ["'absent.toml'", "No such file"]),
        (["train", "digits", "--set", "train.epoch=1"], ["'train.epoch'", "did you mean 'train.epochs'?"]),
        (["train", "digits", "--set", "train.epochs"], ["'train.epochs'", "key=value"]),
        (["data", "minst"], ["unknown data set 'minst'", "did you mean 'mnist'?"]),
        (["eval", "absent.onnx"], ["no file 'absent.onnx'"]),
        (["export", "absent"], ["'absent' is not a run folder", "nin-onnx train RECIPE --out absent"]),
        (["export", "x" * 300], ["File name too long"]),
    ],
    ids=lambda value: " ".join(value)[:30],
)
def test_wrong_usage_is_one_line_that_says_what_was_meant(
    arguments: list[str], parts: list[str], tmp_path: Path, command: "Command", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command(*arguments).assert_error(2, *parts)
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_key_in_a_recipe_is_named_with_its_file_and_the_right_key(tmp_path: Path, command: "Command") -> None:
    (tmp_path / "mine.toml").write_text('dataset = "digits"\npreprocesing = ["scale"]\n')
    result = command("train", tmp_path / "mine.toml", "--out", tmp_path / "out")
    result.assert_error(2, "mine.toml", "unknown key 'preprocesing'", "did you mean 'preprocessing'?")


def test_an_unknown_runtime_is_an_error_that_suggests_the_nearest(model: Path, command: "Command") -> None:
    command("eval", model, "--runtime", "onxruntime").assert_error(
        2, "unknown runtime 'onxruntime'", "did you mean 'onnxruntime'?"
    )


@pytest.mark.parametrize(
    ("arguments", "module", "named"),
    [
        (["train", "digits"], "torch", "'torch': pip install 'nin-onnx[train]'"),
        (["train", "digits"], "sklearn", "'scikit-learn': pip install 'nin-onnx[demo]'"),
        (["export", "run"], "onnxsim", "'onnxsim': pip install 'nin-onnx[train]'"),
        (["plot", "run"], "matplotlib", "'matplotlib': pip install 'nin-onnx[plot]'"),
    ],
)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    arguments: list[str], module: str, named: str, tmp_path: Path, command: "Command", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    command(*arguments).assert_error(2, "needs the package", named)
    assert list(tmp_path.iterdir()) == []


def test_an_old_option_is_taken_for_the_new_one_and_not_shown(command: "Command") -> None:
    assert "--licence" not in command("export", "--help").out
    command("export", "absent", "--licence", "MIT").assert_error(2, "'absent' is not a run folder")
    assert cli.command("export").make_context("export", ["absent", "--licence", "MIT"]).params["license"] == "MIT"


def test_doctor_installs_the_npm_packages_that_there_are() -> None:
    assert set(doctor.PACKAGES) == set(npm.PACKAGES)
