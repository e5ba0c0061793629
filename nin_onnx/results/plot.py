"""The picture of one or several runs: loss, errors and learning rate over the epochs, beside the paper's Figure 3."""

import io
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nin_onnx.errors import RunError
from nin_onnx.paper import figure3
from nin_onnx.results.curves import Curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "draw", "render"]

FORMATS: dict[str, dict[str, None]] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""What a picture can be, with the metadata that would differ from call to call."""

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""One for each run; also the color-blind tell them apart (Okabe and Ito, 2008)."""
INK, GRAY = "#262626", "#595959"

OURS: dict[str, dict[str, Any]] = {
    "train": {"linewidth": 1.2},
    "validation": {"linewidth": 1.6, "linestyle": (0, (1, 1))},
    "test": {"linewidth": 1.5},
}
PAPERS: dict[str, dict[str, Any]] = {"train": {"marker": "^"}, "test": {"marker": "o"}}
SHADES = {"train": 0.5, "validation": 0.0, "test": 0.0, "paper train": 0.15, "paper test": -0.4}  # share of white; below 0, black
THIN: dict[str, Any] = {"linewidth": 1.0, "linestyle": (0, (4, 2)), "markersize": 4.2, "markerfacecolor": "white", "zorder": 3}

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#8c8c8c",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "legend.borderaxespad": 0.2,
    "legend.borderpad": 0.2,
    "legend.columnspacing": 1.3,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.handletextpad": 0.6,
    "pdf.fonttype": 42,  # text stays text
    "svg.hashsalt": "nin-onnx",  # names inside the file would be random
    "text.color": INK,
    "xtick.color": "#8c8c8c",
    "xtick.labelcolor": INK,
    "ytick.color": "#8c8c8c",
    "ytick.labelcolor": INK,
}


def render(runs: Sequence[Curves], kind: str) -> bytes:
    """The picture as a file of that kind, one of `FORMATS`; the same runs give the same bytes. Raises what `draw` raises."""
    from matplotlib import style

    content = io.BytesIO()
    with style.context(["default", STYLE]):  # whatever the user's own settings are
        draw(runs).savefig(content, format=kind, metadata=FORMATS[kind])
    return content.getvalue()


def draw(runs: Sequence[Curves]) -> "Figure":
    """The figure: three panels over the epochs, a color for each run. Raises `RunError` for more runs than colors."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    if len(runs) > len(COLORS):
        raise RunError(f"{len(runs)} runs given, but no more than {len(COLORS)} can be told apart in one picture: give fewer")
    figure = Figure(figsize=(8, 9), dpi=150, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1))  # inches
    figure.suptitle(", ".join(dict.fromkeys(run.recipe for run in runs)), fontsize=13, wrap=True, parse_math=False)
    losses, errors, rates = figure.subplots(3, sharex=True, height_ratios=(3, 5, 2))
    for axes, label in ((losses, "training loss"), (errors, "error, %"), (rates, "learning rate")):
        axes.set_ylabel(label)
    for place, (run, color) in enumerate(zip(runs, COLORS, strict=False), 1):
        _line(losses, run, "train_loss", color, linewidth=1.5)
        _line(rates, run, "learning_rate", color, linewidth=1.5 + 0.9 * (len(runs) - place))  # equal rates stay seen
        for error, look in OURS.items():
            _line(errors, run, f"{error}_error", _shade(color, error), **look)
    papers = _draw_figure3(errors, runs)
    last = max(len(run.epochs) for run in runs)
    rates.set_xlabel("epoch")
    rates.set_xlim(0, last * 1.01)
    rates.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True))  # 50, 100, … and not 30, 60, …
    rates.set_ylim(_rates(runs))
    rates.set_yscale("log", nonpositive="mask")
    rates.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    rates.minorticks_off()
    losses.set_ylim(bottom=0)
    errors.set_ylim(0, _top(runs, last))
    _explain(losses, errors, runs, papers)
    figure.align_ylabels()
    return figure


def _line(axes: "Axes", run: Curves, column: str, color: str, **look: Any) -> None:
    epochs, values = run.measured(column)
    if epochs.size:
        marker = "o" if epochs.size == 1 else None  # a line of one point is invisible
        axes.plot(epochs, values, color=color, marker=marker, markersize=4, gid=column, **look)


def _draw_figure3(axes: "Axes", runs: Sequence[Curves]) -> bool:
    """Draw what Figure 3 has of the runs' experiments, each once, in the color of its first run; tell whether it has any."""
    drawn: set[str | None] = set()
    for run, color in zip(runs, COLORS, strict=False):
        figure = figure3(run.experiment)
        if figure is None or run.experiment in drawn:
            continue
        drawn.add(run.experiment)
        for error, look in PAPERS.items():
            axes.plot(
                *np.transpose(getattr(figure, error)),
                color=_shade(color, f"paper {error}"),
                gid=f"figure3_{error}",
                **THIN,
                **look,
            )
    return bool(drawn)


def _top(runs: Sequence[Curves], last: int) -> float:
    """Upper end of the errors shown: what lies higher is the start, which would press the rest together."""
    later = [0.1]
    for run in runs:
        for error in OURS:
            epochs, errors = run.measured(f"{error}_error")
            later += [*errors[epochs > 0.05 * last], *errors[-1:]]
    return 1.15 * max(later)


def _rates(runs: Sequence[Curves]) -> tuple[float, float]:
    """The learning rates shown: four powers of ten at most, since a cosine's last step is as good as 0."""
    rates = [epoch.learning_rate for run in runs for epoch in run.epochs if epoch.learning_rate > 0] or [1.0]
    return max(min(rates), 1e-4 * max(rates)) / 2, 2 * max(rates)


def _explain(top: "Axes", errors: "Axes", runs: Sequence[Curves], papers: bool) -> None:
    """Legends above the panels, where they cover nothing: of the runs' colors, and of the kinds of lines."""
    from matplotlib.lines import Line2D

    if len(runs) > 1:
        names = _names(runs)
        handles = [Line2D([], [], color=color, linewidth=3) for color in COLORS[: len(runs)]]
        columns = max(1, min(len(runs), 84 // (max(map(len, names)) + 8)))
        _legend(top, handles, names, columns)
    color = COLORS[0] if len(runs) == 1 else GRAY
    handles, names = [], []
    for error, look in OURS.items():
        if any(run.measured(f"{error}_error")[0].size for run in runs):
            handles.append(Line2D([], [], color=_shade(color, error), **look))
            names.append(error)
    for error, look in PAPERS.items() if papers else ():
        handles.append(Line2D([], [], color=_shade(color, f"paper {error}"), **THIN, **look))
        names.append(f"paper, Figure 3: {error}")
    _legend(errors, handles, names, len(names))


def _legend(axes: "Axes", handles: Sequence[Any], names: Sequence[str], columns: int) -> None:
    labels = [str(at) for at in range(len(names))]  # Matplotlib leaves out labels that begin with "_"
    legend = axes.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=columns)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)
        text.set_parse_math(False)


def _names(runs: Sequence[Curves]) -> list[str]:
    """What the runs are called: by their recipes, and where two have the same, by their folders too."""
    recipes = Counter(run.recipe for run in runs)
    folders = Counter(run.folder.name for run in runs)
    names = [run.folder.name if folders[run.folder.name] == 1 else str(run.folder) for run in runs]
    return [run.recipe if recipes[run.recipe] == 1 else f"{run.recipe} ({name})" for run, name in zip(runs, names, strict=True)]


def _shade(color: str, line: str) -> str:
    """`color` mixed with white or black, as `SHADES` says for that line."""
    share = SHADES[line]
    parts = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round((1 - abs(share)) * part + max(share, 0) * 255):02x}" for part in parts)
