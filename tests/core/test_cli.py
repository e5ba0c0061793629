"""The commands as a user types them: what is printed where, and the exit status."""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import click
import numpy as np
import onnx
import onnxsim
import pytest
from numpy.typing import NDArray
from PIL import Image

import nin_onnx
from nin_onnx import cli
from nin_onnx.card import CARD_KEY
from nin_onnx.errors import Interrupted, RunError
from nin_onnx.export.passes import PASSES
from nin_onnx.runtimes import RUNTIMES
from nin_onnx.train.run import Epoch, Run

CHECKOUT = Path(nin_onnx.__file__).parents[1]
MODULES: dict[str, ModuleType | None] = sys.modules  # type: ignore[assignment] # None: as if it were not installed
DIGITS = ("train", "digits", "--set", "train.epochs=1")


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    status: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs `nin-onnx` with these arguments, in this process."""

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["nin-onnx", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert isinstance(end.value.code, int)
        return Result(end.value.code, *capfd.readouterr())

    return call


def start(*arguments: object, cwd: Path) -> subprocess.Popen[str]:
    """Starts `python -m nin_onnx` with these arguments, in a process of its own."""
    line = [sys.executable, "-m", "nin_onnx", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}  # two threads wait on each other when busy
    return subprocess.Popen(line, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> Result:
    """How it ended."""
    out, err = process.communicate(timeout=100)
    return Result(process.returncode, out, err)


def assert_error(result: Result, status: int, *parts: str) -> None:
    """One line on stderr that holds `parts`, nothing on stdout, and the exit status."""
    assert result.out == ""
    (line,) = result.err.strip().splitlines()
    assert line.startswith("error: ")
    assert [part for part in parts if part not in line] == []
    assert result.status == status


def write_idx(path: Path, values: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">{1 + values.ndim}I", 0x0800 + values.ndim, *values.shape) + values.astype(np.uint8).tobytes())


@pytest.fixture
def small_mnist(tmp_path: Path) -> Path:
    """A data folder with an MNIST that is sound and too small to be the official one."""
    random = np.random.default_rng(0)
    for prefix, count in (("train", 64), ("t10k", 16)):
        write_idx(tmp_path / "data" / "mnist" / f"{prefix}-images-idx3-ubyte", random.integers(0, 256, (count, 28, 28)))
        write_idx(tmp_path / "data" / "mnist" / f"{prefix}-labels-idx1-ubyte", np.arange(count) % 10)
    return tmp_path / "data"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workplace")


@pytest.fixture(scope="module")
def trained(workplace: Path) -> Result:
    """The digits, trained for an epoch in `workplace`."""
    return ended(start(*DIGITS, "--out", "run", "--json", cwd=workplace))


@pytest.fixture(scope="module")
def exported(trained: Result, workplace: Path) -> Result:
    """That run, exported."""
    assert trained.status == 0, trained.err
    return ended(start("export", "run", "--json", cwd=workplace))


@pytest.fixture(scope="module")
def run(exported: Result, workplace: Path) -> Path:
    """The folder of the run, which is exported."""
    assert exported.status == 0, exported.err
    return workplace / "run"


@pytest.fixture
def model(run: Path, tmp_path: Path) -> Path:
    """The model's folder, a copy for each test."""
    return shutil.copytree(run / "model", tmp_path / "model")


# What is printed where


def test_help_names_the_commands_and_the_exit_statuses(command: Command) -> None:
    result = command("--help")
    assert (result.status, result.err) == (0, "")
    for name in ("train", "plot", "export", "eval", "data", "results"):
        assert re.search(rf"^  {name} +\S", result.out, re.MULTILINE)
    words = " ".join(result.out.split())
    assert "Exit status: 0 all that was asked for passed; 1 a check failed" in words
    assert "2 wrong usage, or nothing could run; 130 interrupted." in words


@pytest.mark.parametrize("name", cli.cli.commands)
def test_the_help_of_a_command_explains_its_arguments_and_options(name: str, command: Command) -> None:
    result = command(name, "-h")
    assert (result.status, result.err) == (0, "")
    usage, _, text = result.out.partition("\n")
    assert usage.startswith(f"Usage: nin-onnx {name} [OPTIONS]")
    assert [word for word in re.findall(r"[A-Z]{2,}", usage) if word not in text] == ["OPTIONS"]
    assert [option.opts for option in cli.cli.commands[name].params if isinstance(option, click.Option) and not option.help] == []


def test_without_a_command_the_help_is_shown(workplace: Path) -> None:
    result = ended(start(cwd=workplace))
    assert result.out.startswith("Usage: nin-onnx [OPTIONS] COMMAND")
    assert (result.status, result.err) == (2, "")


def test_the_version_is_the_package_s(command: Command) -> None:
    assert command("--version") == Result(0, f"nin-onnx, version {nin_onnx.__version__}\n", "")


def test_training_as_json_prints_nothing_else_on_stdout(trained: Result) -> None:
    summary = json.loads(trained.out)
    assert (trained.status, summary["folder"], summary["recipe"], summary["epochs"]) == (0, "run", "digits-modified", 1)
    assert "epoch 1/1" in trained.err


def test_exporting_as_json_prints_nothing_else_on_stdout(exported: Result, workplace: Path) -> None:
    found = json.loads(exported.out)
    assert (exported.status, exported.err) == (0, "")
    assert Path(found["model"]) == Path("run/model/model.onnx")
    assert found["bytes"] == (workplace / found["model"]).stat().st_size
    assert found["card"]["labels"] == list("0123456789")
    assert [one["name"] for one in found["passes"]] == [one.__name__ for one in PASSES]


def test_evaluating_as_json_prints_nothing_else_on_stdout(model: Path, command: Command) -> None:
    result = command("eval", model, "--runtime", "onnxruntime", "--json")
    report = json.loads(result.out)
    assert (result.status, result.err, report["exit_status"]) == (0, "", 0)
    assert [(row["runtime"], row["outcome"], row["accuracy"]["images"]) for row in report["rows"]] == [
        ("onnxruntime", "pass", 360)
    ]


def test_an_export_prints_what_each_pass_did_and_what_to_do_next(run: Path, tmp_path: Path, command: Command) -> None:
    result = command("export", run, "--out", tmp_path / "out")
    *passes, size, following = result.out.splitlines()
    nodes = [re.fullmatch(r"(\w+) +(changed|no change) +(\d+) → (\d+) nodes", line) for line in passes]
    found = [match.groups() for match in nodes if match]
    assert len(found) == len(passes)
    assert [name for name, *_ in found] == [one.__name__ for one in PASSES]
    file = tmp_path / "out" / "model.onnx"
    written = str(len(onnx.load(file).graph.node))
    assert found[-1] == ("check_golden", "no change", written, written)
    assert size == f"{file}  {file.stat().st_size / 1e6:.2f} MB, checked against PyTorch in float64"
    assert following == f"next: nin-onnx eval {tmp_path / 'out'}"
    assert (result.status, result.err) == (0, "")


def test_a_run_can_be_evaluated_by_its_folder(run: Path, command: Command) -> None:
    result = command("eval", run, "--runtime", "onnxruntime", "--limit", 10)
    assert (result.status, result.err) == (0, "")
    assert re.search(r"^onnxruntime +pass +\S+ +cpu, fp32 .* 10 ", result.out, re.MULTILINE)


@pytest.fixture
def curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the runs `with` and `without` of Figure 3's experiments and `other` of none."""
    monkeypatch.chdir(tmp_path)
    for name, experiment in (("with", "cifar10"), ("without", "cifar10-no-dropout"), ("other", None)):
        (tmp_path / name).mkdir()
        key = f'experiment = "{experiment}"\n' if experiment else ""
        (tmp_path / name / "recipe.toml").write_text(f'name = "{name}"\n{key}')
        Run(tmp_path / name).write_metrics([Epoch(number, 0.1, 1.0, 30.0, None, 20.0, 1.0, 1.0) for number in range(1, 25)])
    return tmp_path


def test_plotting_writes_one_run_into_its_folder_and_several_here(curves: Path, command: Command) -> None:
    assert command("plot", "other") == Result(0, f"{Path('other') / 'curves.png'}\n", "")
    assert command("plot", "other", "with").out.splitlines()[-1] == "curves.png"
    assert command("plot", "other", "--out", "to/one.SVG") == Result(0, f"{Path('to') / 'one.SVG'}\n", "")
    pictures = {"other/curves.png": b"\x89PNG", "curves.png": b"\x89PNG", "to/one.SVG": b"<?xml"}
    assert [name for name, magic in pictures.items() if not (curves / name).read_bytes().startswith(magic)] == []
    assert not list(curves.rglob("*.part"))


def test_plotting_compares_the_runs_of_figure_3_with_it(curves: Path, command: Command) -> None:
    result = command("plot", "with", "other", "without")
    assert [line.split() for line in result.out.splitlines()[1:]] == [
        ["with", "test", "20", "-", "24", "20.00", "21.50", "-1.50"],
        ["without", "test", "20", "-", "24", "20.00", "23.73", "-3.73"],
        ["curves.png"],
    ]
    found = json.loads(command("plot", "with", "other", "without", "--json").out)
    assert found["file"] == "curves.png"
    assert [(row["run"], row["first_epoch"], row["last_epoch"], row["ours"]) for row in found["figure3"]] == [
        ("with", 20, 24, 20.0),
        ("without", 20, 24, 20.0),
    ]
    assert [row["paper"] for row in found["figure3"]] == pytest.approx([21.5, 23.725])
    assert [row["difference"] for row in found["figure3"]] == pytest.approx([-1.5, -3.725])


def test_plotting_a_broken_run_writes_nothing(curves: Path, command: Command) -> None:
    file = Path("with") / "metrics.csv"
    file.write_bytes(file.read_bytes()[:-3])
    assert_error(command("plot", "other", "with"), 2, f"'{file}' is broken", "expected a whole line", "copy it anew")
    assert not list(curves.rglob("curves.*"))


# Exit status 1: something is wrong


def test_a_requirement_that_is_not_met_is_status_1_and_named_in_the_last_line(model: Path, command: Command) -> None:
    result = command("eval", model, "--runtime", "onnxruntime", "--limit", 30, "--max-error", 0, "--require-reproduced")
    assert result.status == 1
    verdict = " ".join(result.out.split()).partition("FAIL: ")[2]  # it may take two lines
    reproduced, error = verdict.split("; ")
    assert reproduced.startswith("onnxruntime: not reproduced:")
    assert re.fullmatch(r"onnxruntime: error \d+\.\d\d %, at most 0 % was asked for", error)


def test_a_runtime_whose_process_crashes_is_status_1(
    model: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = """
        import os
        from nin_onnx.runtimes.contract import Runtime

        class Crashing(Runtime):
            def load(self, model, threads): os.abort()
            def run(self, images): ...
            def facts(self): ...
            @classmethod
            def check(cls): ...
        """
    (tmp_path / "crashing.py").write_text("\n".join(line[8:] for line in crashing.splitlines()))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(RUNTIMES, "crashing", "crashing:Crashing")
    result = command("eval", model, "--runtime", "crashing", "--runtime", "onnxruntime", "--limit", 10)
    assert result.status == 1
    assert re.search(r"^crashing +error +killed by SIGABRT", result.out, re.MULTILINE)
    assert re.search(r"^onnxruntime +pass", result.out, re.MULTILINE)


def test_a_graph_that_fails_the_golden_check_is_status_1_and_no_file(
    run: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lie(model: onnx.ModelProto, **options: object) -> tuple[onnx.ModelProto, bool]:
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.name == "ceil_mode":
                    attribute.i = 0
        return model, True

    monkeypatch.setattr(onnxsim, "simplify", lie)
    assert_error(command("export", run, "--out", tmp_path / "out"), 1, "nothing is written")
    assert list(tmp_path.iterdir()) == []


# Exit status 2: wrong usage, or nothing could run


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["exprot"], ["'exprot'", "'export'", "nin-onnx --help"]),
        (["export", "--ouput", "x"], ["--ouput", "--out", "nin-onnx export --help"]),
        (["export"], ["RUN", "nin-onnx export --help"]),
        (["plot"], ["RUN", "nin-onnx plot --help"]),
        (["plot", "run", "--out", "curves.gif"], ["'curves.gif'", ".png, .svg, .pdf", "nin-onnx plot --help"]),
        (["plot", "absent"], ["'absent' is no run folder", "nin-onnx train RECIPE --out absent"]),
        (["train"], ["digits, mnist", "nin-onnx train --help"]),
        (["train", "digits", "--resume", "run"], ["--resume", "nin-onnx train --help"]),
        (["train", "digits", "--seed", "-1"], ["--seed", "-1", "nin-onnx train --help"]),
        (["train", "digts"], ["unknown recipe 'digts'", "did you mean 'digits'?"]),
        (["train", "absent.toml"], ["'absent.toml'", "No such file"]),
        (["train", "digits", "--set", "train.epoch=1"], ["'train.epoch'", "did you mean 'train.epochs'?"]),
        (["train", "digits", "--set", "train.epochs"], ["'train.epochs'", "key=value"]),
        (["data", "minst"], ["unknown data set 'minst'", "did you mean 'mnist'?"]),
        (["eval", "absent.onnx"], ["no file 'absent.onnx'"]),
        (["export", "absent"], ["'absent' is no run folder", "nin-onnx train RECIPE --out absent"]),
        (["export", "x" * 300], ["File name too long"]),
    ],
    ids=lambda value: " ".join(value)[:30],
)
def test_wrong_usage_is_one_line_that_says_what_was_meant(
    arguments: list[str], parts: list[str], tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_error(command(*arguments), 2, *parts)
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_key_in_a_recipe_is_named_with_its_file_and_the_right_key(tmp_path: Path, command: Command) -> None:
    (tmp_path / "mine.toml").write_text('dataset = "digits"\npreprocesing = ["scale"]\n')
    result = command("train", tmp_path / "mine.toml", "--out", tmp_path / "out")
    assert_error(result, 2, "mine.toml", "unknown key 'preprocesing'", "did you mean 'preprocessing'?")


def test_a_run_folder_without_a_checkpoint_is_an_error(tmp_path: Path, command: Command) -> None:
    assert_error(command("export", tmp_path), 2, f"'{tmp_path}' holds no checkpoint", "nin-onnx train RECIPE")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"dataset = 'digits'\n"], ids=["empty", "an image", "text"])
def test_a_file_that_is_not_onnx_is_an_error(content: bytes, tmp_path: Path, command: Command) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    assert_error(command("eval", tmp_path), 2, f"'{tmp_path / 'model.onnx'}'", "no valid ONNX file")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_model_is_an_error(share: float, model: Path, command: Command) -> None:
    content = (model / "model.onnx").read_bytes()
    (model / "model.onnx").write_bytes(content[: int(len(content) * share)])
    assert_error(command("eval", model), 2, f"'{model / 'model.onnx'}'", "truncated")


def test_an_unknown_runtime_is_an_error_that_suggests_the_nearest(model: Path, command: Command) -> None:
    assert_error(
        command("eval", model, "--runtime", "onxruntime"), 2, "unknown runtime 'onxruntime'", "did you mean 'onnxruntime'?"
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
    arguments: list[str], module: str, named: str, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(MODULES, module, None)
    assert_error(command(*arguments), 2, "needs the package", named)
    assert list(tmp_path.iterdir()) == []


def test_where_no_runtime_is_installed_the_status_is_2_and_the_table_says_what_to_install(
    model: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODULES, "onnxruntime", None)
    result = command("eval", model, "--runtime", "onnxruntime")
    assert result.status == 2
    assert re.search(r"^onnxruntime +skipped .*pip install 'nin-onnx\[cpu\]'", result.out, re.MULTILINE)


def test_an_output_folder_that_cannot_be_written_is_an_error(run: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "model"
    assert_error(command("export", run, "--out", target), 2, f"cannot write '{target}'", "--out")


def test_an_output_folder_of_something_else_is_not_replaced(run: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert_error(command("export", run, "--out", tmp_path), 2, f"'{tmp_path}'", "choose another --out")
    assert (tmp_path / "notes.txt").read_text() == "mine"


# The data


@pytest.mark.parametrize(
    "arguments", [["train", "mnist", "--out", "run"], ["eval", "model", "--dataset", "mnist"]], ids=["train", "eval"]
)
def test_a_truncated_data_file_is_an_error_that_names_it(
    arguments: list[str], model: Path, small_mnist: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in (small_mnist / "mnist").glob("*images*"):
        file.write_bytes(file.read_bytes()[:-1])
    result = command(*arguments, "--data-dir", small_mnist)
    assert_error(result, 2, f"'{small_mnist / 'mnist'}", "is broken", "nin-onnx data mnist")
    assert not Path("run").exists()


def test_a_tampered_data_file_that_is_sound_is_used_with_one_warning(small_mnist: Path, tmp_path: Path, command: Command) -> None:
    settings = ["--set", "train.epochs=1", "--set", "train.batch_size=32", "--out", tmp_path / "run"]
    result = command("train", "mnist", *settings, "--data-dir", small_mnist)
    assert result.status == 0, result.err
    (line,) = result.err.splitlines()
    assert line.startswith("warning: data set 'mnist' in ")
    assert "unofficial copy" in line
    *_, verdict, following = result.out.splitlines()
    assert re.match(r"test error .* of 16 images of mnist \(unofficial copy\); 1 epochs", verdict)
    assert following == f"next: nin-onnx export {tmp_path / 'run'}"


def test_a_tampered_data_file_that_is_not_sound_is_an_error(small_mnist: Path, tmp_path: Path, command: Command) -> None:
    write_idx(small_mnist / "mnist" / "train-labels-idx1-ubyte", np.full(64, 77))
    result = command("train", "mnist", "--out", tmp_path / "run", "--data-dir", small_mnist)
    assert_error(result, 2, "train-labels-idx1-ubyte", "label 77")


def say_trained_on_mnist(model: Path) -> None:
    graph = onnx.load(model / "model.onnx")
    (card,) = (entry for entry in graph.metadata_props if entry.key == CARD_KEY)
    values = json.loads(card.value)
    values["dataset"]["name"] = "mnist"
    card.value = json.dumps(values)
    onnx.save(graph, model / "model.onnx")


def test_where_the_model_s_data_is_absent_the_golden_vectors_decide_and_the_download_is_named(
    model: Path, tmp_path: Path, command: Command
) -> None:
    say_trained_on_mnist(model)
    result = command("eval", model, "--runtime", "onnxruntime", "--data-dir", tmp_path / "empty")
    (line,) = result.err.splitlines()
    assert line.endswith(f"nin-onnx data mnist --data-dir {tmp_path / 'empty'}")
    assert "judged by the golden vectors alone" in result.out
    assert result.status == 0


def test_where_the_model_s_data_is_broken_it_is_an_error_and_not_absent(model: Path, small_mnist: Path, command: Command) -> None:
    say_trained_on_mnist(model)
    labels = small_mnist / "mnist" / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1])
    result = command("eval", model, "--runtime", "onnxruntime", "--data-dir", small_mnist)
    assert_error(result, 2, "t10k-labels-idx1-ubyte", "broken")


def test_data_sets_are_listed_as_they_are_and_fetched_by_name(small_mnist: Path, command: Command) -> None:
    listed = command("data", "--data-dir", small_mnist)
    assert listed.status == 0
    mnist, cifar10, cifar100, svhn, digits = listed.out.splitlines()
    assert re.fullmatch(r"mnist +[0-9]+ train images, unofficial copy; [0-9]+ test images, unofficial copy", mnist)
    assert re.fullmatch(r"cifar10 +absent: nin-onnx data cifar10", cifar10)
    assert re.fullmatch(r"cifar100 +absent: nin-onnx data cifar100", cifar100)
    assert re.fullmatch(r"svhn +absent: nin-onnx data svhn", svhn)
    assert re.fullmatch(r"digits +1,437 train images, official; 360 test images, official", digits)
    fetched = command("data", "digits", "--json")
    assert (fetched.status, list(json.loads(fetched.out)["datasets"])) == (0, ["digits"])


# --debug, faults and Ctrl-C


@pytest.mark.parametrize("arguments", [["--debug", "export", "absent"], ["export", "absent", "--debug"]], ids=" ".join)
def test_debug_shows_where_an_error_came_from_wherever_it_stands(arguments: list[str], command: Command) -> None:
    result = command(*arguments)
    first, *_, last = result.err.splitlines()
    assert first == "Traceback (most recent call last):"
    assert last.startswith("error: 'absent' is no run folder")
    assert result.status == 2


def raising(error: BaseException) -> Callable[..., NoReturn]:
    def fail(*arguments: object, **options: object) -> NoReturn:
        raise error

    return fail


def test_a_fault_of_ours_is_one_line_that_asks_for_a_report(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nin_onnx.export.export_run", raising(RuntimeError("first\n\n  second")))
    assert_error(command("export", "run"), 2, "internal error", "--debug", "RuntimeError: first second")


def test_what_a_broken_file_says_neither_steers_the_terminal_nor_fills_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nin_onnx.export.export_run", raising(RunError("a\x1b[2J\x00b" + "x" * 70_000)))
    result = command("export", "run")
    assert_error(result, 2, "error: a [2J bxxx")
    assert len(result.err) < 3000


@pytest.mark.parametrize(
    ("error", "words"), [(KeyboardInterrupt(), "stopped"), (Interrupted("stopped after 3 epochs"), "stopped after 3 epochs")]
)
def test_an_interrupted_command_is_status_130(
    error: BaseException, words: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nin_onnx.export.export_run", raising(error))
    assert_error(command("export", "run"), 130, f"error: {words}")


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal")
def test_ctrl_c_stops_a_training_with_one_line_that_says_how_to_go_on(tmp_path: Path) -> None:
    process = start("train", "digits", "--set", "train.epochs=10000", "--out", "run", cwd=tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("epoch ")
    process.send_signal(signal.SIGINT)
    result = ended(process)
    assert_error(Result(result.status, "", result.err), 130, "of 10000: go on with nin-onnx train --resume run")


def test_a_process_ends_with_the_status_of_its_error(tmp_path: Path) -> None:
    assert_error(ended(start("export", "absent", cwd=tmp_path)), 2, "'absent' is no run folder")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no file names that are no text")
def test_a_file_name_that_no_encoding_has_is_told_all_the_same(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.png")
    Image.new("L", (28, 28)).save(tmp_path / name, "PNG")
    command = [sys.executable, "-m", "nin_onnx", "predict", "nin-mnist", name, "--threads", "1"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "PYTHONIOENCODING": "utf-8:strict"}
    told = [
        subprocess.run([*command, *more], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
        for more in ([], ["--json"])
    ]
    assert told[0].startswith("\N{REPLACEMENT CHARACTER}.png ")
    assert json.loads(told[1])["predictions"][0]["image"] == name
