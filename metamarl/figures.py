"""What all figures share: size, colours, axes, ticks, and files that are there whole or not."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from metamarl.envs.checks import complaint
from metamarl.envs.files import write_atomically

FORMATS = (".png", ".pdf", ".svg")
SIZE, DPI = (12.0, 5.0), 100  # 1200 x 500 pixels
GREY, INK = "#595959", "#222222"
# Okabe and Ito's palette, which colour-blind readers can tell apart, and a dash for each arm.
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
DASHES = ["-", (0, (6, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)), (0, (4, 1, 1, 1, 1, 1))]
BASELINE_COLOUR = "#000000"
WORDS: dict[str, Any] = {"fontsize": 12, "color": INK}
AT_HEIGHT: dict[str, Any] = {
    "xycoords": ("axes fraction", "data"), "textcoords": "offset points",
    "color": GREY, "fontsize": 11,
}  # fmt: skip


def check_figure_path(path: str | os.PathLike[str], where: str) -> Path:
    """Return the path of a figure; ValueError for an unknown suffix, OSError without a folder."""
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        must = f"a file name that ends in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        raise ValueError(complaint("path", where, must, str(path)))
    if not target.parent.is_dir():
        raise NotADirectoryError(f"Cannot write {target}: {target.parent} is not a folder.")
    return target


def write_figure(figure: Figure, target: Path) -> None:
    """Write a figure atomically; the same figure gives the same file."""
    suffix = target.suffix.lower()

    def write(temporary: Path) -> None:
        metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix)
        figure.savefig(temporary, format=suffix[1:], dpi=DPI, metadata=metadata)

    write_atomically(target, write)


def new_figure() -> tuple[Figure, Axes, Axes]:
    """A figure with two axes side by side."""
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08, wspace=0.06)
    figure = Figure(figsize=SIZE, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for axes in (left, right):
        calm(axes)
    return figure, left, right


def calm(axes: Axes) -> None:
    """The look that all axes share."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(which="both", colors=GREY, labelcolor=INK, labelsize=11)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)


def add_legend(figure: Figure, lines: Sequence[Line2D], title: str) -> None:
    """A title and a legend above the axes."""
    longest = max((len(str(line.get_label())) for line in lines), default=0)
    columns = max(1, min(6, 170 // (longest + 9)))  # of what fits beside each other
    legend = figure.legend(
        handles=lines, loc="outside upper left", ncols=columns, frameon=False, fontsize=11,
        handlelength=3.2, columnspacing=2.0, borderpad=0.1,
        title=title, title_fontsize=14, alignment="left",
    )  # fmt: skip
    for text in (legend.get_title(), *legend.get_texts()):
        text.set(color=INK, parse_math=False)  # a name may hold a dollar sign


def plain_ticks(axis: Axis, unit: str = "") -> None:
    """Round numbers in plain figures."""
    axis.set_ticks(round_numbers(*axis.get_view_interval()))
    axis.set_ticks([], minor=True)
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}{unit}"))


def round_numbers(low: float, high: float) -> Sequence[float]:
    """The fewest round numbers between two positive ones that are at least four, if there are."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    best: list[float] = []
    for digits, step in ([1], 3), ([1], 2), ([1], 1), ([1, 3], 1), ([1, 2, 5], 1):
        numbers = [d * 10.0**e for e in range(first, last + 1) for d in digits if e % step == 0]
        best = [x for x in numbers if low <= x <= high]
        if len(best) >= 4:
            return best
    return best
