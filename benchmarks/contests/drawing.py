"""The figure of the contests: one panel each, bars of times on logarithmic axes."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from contests.measuring import BASELINE, Row
from contests.report import ratio, seconds
from metamarl.figures import INK, PALETTE, calm, write_figure

OTHERS = "#b0b0b0"
# Inches: of a column, of the names in it and of what is right of the bars; of a bar, and what is
# above and below the bars.
WIDTH, NAMES, RIGHT, BAR, TITLE, AXIS = 9.3, 3.8, 0.4, 0.26, 0.6, 0.4


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
    wide, tall = WIDTH * len(columns), tallest + 0.1
    figure = Figure(figsize=(wide, tall), facecolor="white")
    FigureCanvasAgg(figure)
    for k, column in enumerate(columns):
        top = tall
        for title, inside in column:
            left, bottom = k * WIDTH + NAMES, top - TITLE - BAR * len(inside)
            place = (left / wide, bottom / tall, (WIDTH - NAMES - RIGHT) / wide)
            axes = figure.add_axes((*place, BAR * len(inside) / tall))
            _panel(axes, title, inside)
            top -= _height(inside)
    write_figure(figure, path)


def _height(rows: Sequence[Row]) -> float:
    return TITLE + BAR * len(rows) + AXIS


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
