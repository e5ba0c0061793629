"""The picture shows the runs' numbers and the paper's, and nothing but them."""

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib import rc_context, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nin_onnx.errors import RunError
from nin_onnx.paper import figure3
from nin_onnx.results.curves import Curves
from nin_onnx.results.plot import COLORS, FORMATS, STYLE, draw, render
from nin_onnx.run import Epoch


def run(
    experiment: str | None = None,
    *,
    recipe: str = "mine",
    folder: str = "runs/mine-seed0",
    epochs: int = 24,
    test: bool = True,
    validation: bool = False,
    start: float = 60.0,
) -> Curves:
    """A run whose curves fall; none of its numbers occurs twice."""
    lines = []
    for number in range(1, epochs + 1):
        error = start / number**0.5
        lines.append(
            Epoch(
                number,
                0.1 / number,
                error / 30,
                error + 0.25,
                error + 0.5 if validation else None,
                error if test else None,
                1.0,
                1.0,
            )
        )
    return Curves(Path(folder), recipe, experiment, lines)


def panels(figure: Figure) -> tuple[Axes, Axes, Axes]:
    losses, errors, rates = figure.axes
    return losses, errors, rates


def points(line: Line2D) -> list[tuple[float, float]]:
    return [tuple(point) for point in np.asarray(line.get_xydata()).tolist()]


def lines(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """The lines of a panel with a single run, by what they show."""
    found = {str(line.get_gid()): points(line) for line in axes.lines}
    assert len(found) == len(axes.lines)
    return found


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    return [text.get_text() for text in found.get_texts()] if found else []


def test_each_panel_has_the_columns_of_the_metrics() -> None:
    mine = run(validation=True)
    for axes, columns in zip(
        panels(draw([mine])),
        (["train_loss"], ["train_error", "validation_error", "test_error"], ["learning_rate"]),
        strict=True,
    ):
        expected = {column: [(epoch.epoch, getattr(epoch, column)) for epoch in mine.epochs] for column in columns}
        assert lines(axes) == expected


def test_an_error_that_was_not_measured_has_no_line_and_no_place_in_the_legend() -> None:
    _, errors, _ = panels(draw([run(test=False, validation=True)]))
    assert list(lines(errors)) == ["train_error", "validation_error"]
    assert legend(errors) == ["train", "validation"]


@pytest.mark.parametrize("experiment", ["cifar10", "cifar10-no-dropout"])
def test_a_run_of_figure_3_has_the_paper_s_two_curves_beside_it(experiment: str) -> None:
    published = figure3(experiment)
    assert published is not None
    _, errors, _ = panels(draw([run(experiment)]))
    assert legend(errors) == ["train", "test", "paper, Figure 3: train", "paper, Figure 3: test"]
    assert lines(errors)["figure3_train"] == list(published.train)
    assert lines(errors)["figure3_test"] == list(published.test)


@pytest.mark.parametrize("experiment", [None, "cifar10-augmented", "cifar100", "mnist"])
def test_a_run_of_another_experiment_has_nothing_of_the_paper(experiment: str | None) -> None:
    _, errors, _ = panels(draw([run(experiment)]))
    assert list(lines(errors)) == ["train_error", "test_error"]
    assert legend(errors) == ["train", "test"]


def test_two_seeds_share_the_paper_s_curves_and_are_told_apart_by_their_folders() -> None:
    runs = [run("cifar10", folder=f"runs/mine-seed{seed}") for seed in range(2)]
    losses, errors, _ = panels(draw(runs))
    assert [line.get_gid() for line in errors.lines if "figure3" in str(line.get_gid())] == ["figure3_train", "figure3_test"]
    assert legend(losses) == ["mine (mine-seed0)", "mine (mine-seed1)"]


def test_both_experiments_of_the_figure_have_their_own_curves_in_their_own_colors() -> None:
    _, errors, _ = panels(draw([run("cifar10", recipe="with"), run("cifar10-no-dropout", recipe="without")]))
    papers = [line for line in errors.lines if line.get_gid() == "figure3_test"]
    assert [points(line)[-1] for line in papers] == [(200, 14.5), (200, 18.0)]
    assert papers[0].get_color() != papers[1].get_color()


def test_every_run_has_a_color_of_its_own_up_to_a_number_that_is_said() -> None:
    runs = [run(recipe=f"recipe-{number}", start=60.0 - number) for number in range(len(COLORS) + 1)]
    figure = draw(runs[:-1])
    for axes in panels(figure)[::2]:
        assert len({str(line.get_color()) for line in axes.lines}) == len(COLORS)
    with pytest.raises(RunError, match=rf"^{len(COLORS) + 1} runs given, but no more than {len(COLORS)}.*: give fewer$"):
        draw(runs)


def test_the_title_names_each_recipe_once() -> None:
    figure = draw([run(recipe="b"), run(recipe="a"), run(recipe="b", folder="other")])
    assert figure.get_suptitle() == "b, a"


@pytest.mark.parametrize("name", ["_hidden", "costs $5 or $6", r"\frac{"])
def test_a_name_is_written_as_it_is_and_never_read_as_mathematics(name: str) -> None:
    runs = [run(recipe=name), run(recipe="other")]
    losses, _, _ = panels(draw(runs))
    assert legend(losses) == [name, "other"]
    assert b"<svg" in render(runs, "svg")  # which reads the texts


def test_the_legends_lie_above_their_panels_and_cover_no_curve() -> None:
    with style.context(["default", STYLE]):
        figure = draw([run("cifar10", recipe=f"recipe-{number}", validation=True) for number in range(len(COLORS))])
        figure.draw_without_rendering()
    for axes in panels(figure)[:2]:
        box = axes.get_legend()
        assert box is not None
        extent, panel = box.get_window_extent(), axes.get_window_extent()
        assert extent.y0 >= panel.y1
        assert extent.x1 <= figure.bbox.x1


@pytest.mark.parametrize("epochs", [1, 3, 24, 260])
def test_the_end_of_every_curve_lies_within_its_panel(epochs: int) -> None:
    figure = draw([run("cifar10", epochs=epochs), run(recipe="other", epochs=1, start=95.0)])
    for axes in panels(figure):
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        for line in axes.lines:
            if "figure3" not in str(line.get_gid()):
                epoch, value = points(line)[-1]
                assert left <= epoch <= right
                assert bottom <= value <= top


def test_a_run_of_one_epoch_is_seen() -> None:
    assert {line.get_marker() for axes in panels(draw([run(epochs=1)])) for line in axes.lines} == {"o"}


def test_learning_rates_of_0_are_left_out_of_the_logarithms() -> None:
    epochs = [Epoch(number, rate, 1.0, 50.0, None, None, 1.0, 1.0) for number, rate in enumerate((0.1, 0.05, 0.0), 1)]
    _, _, rates = panels(draw([Curves(Path("run"), "mine", None, epochs)]))
    assert rates.get_yscale() == "log"
    assert rates.get_ylim() == pytest.approx((0.025, 0.2))
    assert render([Curves(Path("run"), "mine", None, [Epoch(1, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0)])], "png")


@pytest.mark.parametrize(("kind", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_same_runs_give_the_same_bytes_whatever_the_user_s_settings(kind: str, magic: bytes) -> None:
    runs = [run("cifar10"), run(recipe="other", validation=True)]
    first = render(runs, kind)
    with rc_context({"font.size": 30, "svg.hashsalt": None, "axes.facecolor": "black", "savefig.dpi": 10}):
        assert render(runs, kind) == first
    assert first.startswith(magic)
    assert not re.search(rb"/CreationDate|<dc:date>|\x00Date", first)


def test_the_kinds_of_files_are_these() -> None:
    assert list(FORMATS) == ["png", "svg", "pdf"]
