"""The figure of the contests: one panel each, bars of times on logarithmic axes."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec, GridSpecFromSubplotSpec
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from contests.measuring import BASELINE, Row
from contests.report import ratio, seconds
from metamarl.figures import INK, PALETTE, calm, write_figure

OTHERS = "#b0b0b0"
BAR, HEAD = 0.27, 0.85  # inches: of a bar, and of a panel's title and axis


def draw(path: Path, titles: dict[str, str], rows: Sequence[Row]) -> None:
    """Draw what was measured, in two columns; metamarl in colour."""
    panels = [
        (title, inside)
        for contest, title in titles.items()
        if (inside := [r for r in rows if r.contest == contest and r.minimum is not None])
    ]
    if not panels:
        return
    columns = _in_columns(panels) if len(panels) > 1 else [panels]
    tallest = max(sum(_height(inside) for _, inside in column) for column in columns)
    figure = Figure(figsize=(7.6 * len(columns), tallest + 0.4), facecolor="white")
    FigureCanvasAgg(figure)
    grid = GridSpec(
        1, len(columns), figure, left=0.36 / len(columns), right=0.985, wspace=0.62,
        top=1 - 0.45 / (tallest + 0.4), bottom=0.45 / (tallest + 0.4),
    )  # fmt: skip
    for k, column in enumerate(columns):
        rest = tallest - sum(_height(inside) for _, inside in column)
        heights = [_height(inside) for _, inside in column] + ([rest] if rest > 0.01 else [])
        inner = GridSpecFromSubplotSpec(
            len(heights), 1, grid[k], height_ratios=heights, hspace=0.85 * len(heights) / tallest
        )
        for j, (title, inside) in enumerate(column):
            _panel(figure.add_subplot(inner[j]), title, inside)
    write_figure(figure, path)


def _height(rows: Sequence[Row]) -> float:
    return HEAD + BAR * len(rows)


def _in_columns(panels: list[tuple[str, list[Row]]]) -> list[list[tuple[str, list[Row]]]]:
    """Cut a list of panels where both columns are nearly as tall."""
    heights = [_height(inside) for _, inside in panels]
    cuts = range(1, len(panels))
    cut = min(cuts, key=lambda k: max(sum(heights[:k]), sum(heights[k:])))
    return [panels[:cut], panels[cut:]]


def _panel(axes: Axes, title: str, rows: Sequence[Row]) -> None:
    calm(axes)
    axes.grid(visible=False, axis="y")
    times = [row.minimum or 0.0 for row in rows]
    colours = [PALETTE[0] if row.name.startswith(BASELINE) else OTHERS for row in rows]
    low, high = min(times) / 3, max(times)
    axes.barh(range(len(rows)), [t - low for t in times], left=low, color=colours, height=0.72)
    axes.set_xscale("log")
    axes.set_xlim(low, low * (high / low) ** 1.35)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.tick_params(axis="y", length=0, labelsize=10)
    axes.tick_params(axis="x", labelsize=9)
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: seconds(x * (1 + 1e-9))))
    axes.set_title(f"{title}\ntime per {rows[0].unit}", loc="left", fontsize=11, color=INK, x=0)
    for k, row in enumerate(rows):
        words = f" {seconds(row.minimum)}" + (f"  ×{ratio(row)}" if row.ratio else "")
        axes.text(times[k], k, words, va="center", fontsize=9.5, color=INK)
