"""Files that are broken, and places that cannot be written: one line, and nothing is lost."""

from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnxsim
import pytest

if TYPE_CHECKING:
    from tests.core.cli.conftest import Command


def test_a_graph_that_fails_the_golden_check_is_status_1_and_no_file(
    run: Path, tmp_path: Path, command: "Command", monkeypatch: pytest.MonkeyPatch
) -> None:
    def lie(model: onnx.ModelProto, **options: object) -> tuple[onnx.ModelProto, bool]:
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.name == "ceil_mode":
                    attribute.i = 0
        return model, True

    monkeypatch.setattr(onnxsim, "simplify", lie)
    command("export", run, "--out", tmp_path / "out").assert_error(1, "nothing is written")
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_without_a_checkpoint_is_an_error(tmp_path: Path, command: "Command") -> None:
    command("export", tmp_path).assert_error(2, f"'{tmp_path}' holds no checkpoint", "nin-onnx train RECIPE")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"dataset = 'digits'\n"], ids=["empty", "an image", "text"])
def test_a_file_that_is_not_onnx_is_an_error(content: bytes, tmp_path: Path, command: "Command") -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    command("eval", tmp_path).assert_error(2, f"'{tmp_path / 'model.onnx'}'", "no valid ONNX file")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_model_is_an_error(share: float, model: Path, command: "Command") -> None:
    content = (model / "model.onnx").read_bytes()
    (model / "model.onnx").write_bytes(content[: int(len(content) * share)])
    command("eval", model).assert_error(2, f"'{model / 'model.onnx'}'", "truncated")


def test_a_broken_image_ends_the_command_in_one_line(tmp_path: Path, command: "Command") -> None:
    image = tmp_path / "note.png"
    image.write_text("no image")
    told = f"error: '{image}' cannot be used (no image, or of another format): give another\n"
    assert command("predict", "nin-mnist", image) == (2, "", told)


def test_an_output_folder_that_cannot_be_written_is_an_error(run: Path, tmp_path: Path, command: "Command") -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "model"
    command("export", run, "--out", target).assert_error(2, f"cannot write '{target}'", "--out")


def test_an_output_folder_of_something_else_is_not_replaced(run: Path, tmp_path: Path, command: "Command") -> None:
    (tmp_path / "notes.txt").write_text("mine")
    command("export", run, "--out", tmp_path).assert_error(2, f"'{tmp_path}'", "choose another --out")
    assert (tmp_path / "notes.txt").read_text() == "mine"
