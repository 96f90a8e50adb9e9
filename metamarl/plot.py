"""The figure of a comparison: gap against iterations, and the speed-up task by task.

Left, for every arm: the smallest gap so far of every (seed, task), as a step function that keeps
its last value when the solve has ended; the median over seeds and tasks, and the band that holds
80 % of them. Task 0 is left out where there are others: nothing has been learned before it. Dotted
is an estimate in the form of the theory (see `bounds`), in the median, down to the tolerance; of
step sizes outside the theory, as "adaptive" ones are, it says nothing. Right:
iterations from scratch over iterations from the arm's start, task by task; the geometric mean over
the seeds with its 95 % interval (Student's t, on the logarithm).
"""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from metamarl.algorithms.solution import Trace
from metamarl.envs.checks import complaint
from metamarl.figures import (
    AT_HEIGHT,
    BASELINE_COLOUR,
    DASHES,
    GREY,
    PALETTE,
    WORDS,
    add_legend,
    check_figure_path,
    new_figure,
    plain_ticks,
    write_figure,
)
from metamarl.statistics import mean_interval

if TYPE_CHECKING:
    from metamarl.comparison import Comparison

BOUND_STYLE: dict[str, Any] = {"linestyle": (0, (1, 2)), "linewidth": 1.4, "color": GREY}
GRID_POINTS = 300
FLOOR = 0.1  # gaps are drawn down to this part of `tol`
CEILING = 1e12  # and up to here, should they be infinite


def plot_comparison(comparison: "Comparison", path: str | os.PathLike[str]) -> Path:
    """Draw a comparison into a file, written atomically; the suffix names the format.

    Args:
        comparison: what `metamarl.compare` returned, complete or interrupted.
        path: a .png, .pdf or .svg file.

    Returns:
        The file's path.

    Raises:
        ValueError: an unknown suffix, or a comparison without a single finished solve.
        OSError: a folder that is missing or cannot be written to.
    """
    target = check_figure_path(path, "plot_comparison")
    if not comparison.rows:
        must = "one with at least one finished solve"
        raise ValueError(complaint("comparison", "plot_comparison", must, comparison))
    write_figure(_draw(comparison), target)
    return target


def _draw(comparison: "Comparison") -> Figure:
    figure, left, right = new_figure()
    _draw_gaps(left, comparison)
    _draw_speedups(right, comparison)
    labels = ["from scratch (none)", *(f"start: {arm}" for arm in comparison.arms[1:])]
    lines = [
        Line2D([], [], label=label, **_style(comparison, arm))
        for arm, label in zip(comparison.arms, labels, strict=True)
    ]
    if comparison.bounds:
        lines.append(Line2D([], [], label="theory (estimate)", **BOUND_STYLE))
    add_legend(figure, lines, _title(comparison))
    return figure


def _title(comparison: "Comparison") -> str:
    """The game, the numbers of tasks and seeds, and what is missing."""
    tasks, seeds = ({row[key] for row in comparison.rows} for key in ("task", "seed"))
    failed = sum(not row["converged"] for row in comparison.rows)
    games = "related games" if len(tasks) > 1 else "game"
    title = f"{comparison.config.get('game', 'game')}: {len(tasks)} {games}"
    if len(seeds) > 1:
        title += f", {len(seeds)} seeds"
    if failed:
        title += f"; {failed} of {len(comparison.rows)} solves did not reach the tolerance"
    if comparison.interrupted:
        title += " (interrupted)"
    return title


def _style(comparison: "Comparison", arm: str) -> dict[str, Any]:
    if arm == comparison.arms[0]:
        return {"color": BASELINE_COLOUR, "linestyle": "-", "linewidth": 1.8}
    k = comparison.arms.index(arm) - 1
    dash = DASHES[k % len(DASHES)]
    return {"color": PALETTE[k % len(PALETTE)], "linestyle": dash, "linewidth": 2.2}


def _draw_gaps(axes: Axes, comparison: "Comparison") -> None:
    """Median and 80 % band of the smallest gap so far, on one grid of iterations."""
    tol = float(comparison.config["tol"])
    several = any(row["task"] > 0 for row in comparison.rows)
    runs = {
        arm: [
            trace
            for (_, task, name), trace in sorted(comparison.traces.items(), key=lambda x: x[0])
            if name == arm and len(trace) and (task > 0 or not several)
        ]
        for arm in comparison.arms
    }
    last = max((int(t.iteration[-1]) for traces in runs.values() for t in traces), default=1)
    grid = np.unique(np.round(np.geomspace(1, max(last, 10), GRID_POINTS))).astype(np.int64)
    ends, clipped = [tol], False
    for arm, traces in runs.items():
        if not traces:
            continue
        found = np.array([_smallest_so_far(trace, grid) for trace in traces])
        clipped |= bool((found < FLOOR * tol).any())
        gaps = np.clip(found, FLOOR * tol, CEILING)
        low, middle, high = np.quantile(gaps, [0.1, 0.5, 0.9], axis=0)
        style = _style(comparison, arm)
        axes.fill_between(grid, low, high, step="post", color=style["color"], alpha=0.13, lw=0)
        axes.plot(grid, middle, drawstyle="steps-post", **style)
        bounds = [
            bound(grid)
            for (_, task, name), bound in comparison.bounds.items()
            if name == arm and (task > 0 or not several)
        ]
        if bounds:
            said = np.median(bounds, axis=0)
            shown = np.isfinite(said) & (said >= tol)  # below it the solves have ended
            axes.plot(grid[shown], said[shown], **BOUND_STYLE | {"color": style["color"]})
            ends += said[shown][-1:].tolist()
        ends += [float(low.min()), float(high.max())]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(1, grid[-1] * 1.1)
    axes.set_ylim(min(ends) / 2, max(ends) * 2)
    axes.axhline(tol, color=GREY, linestyle=(0, (4, 3)), linewidth=1.2, zorder=1.5)
    axes.annotate(f"tolerance {tol:g}", (0, tol), (6, 4), **AT_HEIGHT)
    if clipped:
        axes.annotate("smaller gaps are drawn here", (0, FLOOR * tol), (6, 4), **AT_HEIGHT)
    plain_ticks(axes.xaxis)
    plain_ticks(axes.yaxis)
    axes.set_xlabel(comparison.unit, **WORDS)
    axes.set_ylabel("gap to equilibrium (in units of reward)", **WORDS)
    more = " (median, middle 80 % of the solves)" * several
    axes.set_title(f"Smallest gap so far{more}", loc="left", **WORDS)


def _smallest_so_far(trace: Trace, grid: NDArray[np.int64]) -> NDArray[np.float64]:
    """The smallest gap measured up to each iteration of the grid; the first one before it."""
    measured = np.where(np.isfinite(trace.gap), trace.gap, np.inf)
    best = np.minimum.accumulate(measured)
    at = np.searchsorted(trace.iteration, grid, side="right") - 1
    return best[np.maximum(at, 0)]


def _draw_speedups(axes: Axes, comparison: "Comparison") -> None:
    """Geometric mean over the seeds, and its 95 % interval, task by task."""
    found = {(r["seed"], r["task"], r["arm"]): max(r["iterations"], 1) for r in comparison.rows}
    means = [1.0]
    arms = comparison.arms[1:]
    for k, arm in enumerate(arms):
        by_task: dict[int, list[float]] = {}
        for (seed, task, name), iterations in sorted(found.items()):
            scratch = found.get((seed, task, comparison.arms[0]))
            if name == arm and scratch is not None:
                by_task.setdefault(task, []).append(math.log(scratch / iterations))
        if not by_task:
            continue
        shift = (k - (len(arms) - 1) / 2) * 0.12  # side by side, not on top of each other
        at = np.array(sorted(by_task)) + shift
        logs = [mean_interval(by_task[task]) for task in sorted(by_task)]
        middle = np.exp([e.mean for e in logs])
        style = _style(comparison, arm)
        axes.plot(at, middle, marker="o", markersize=5, **style)
        with np.errstate(over="ignore"):  # two seeds that disagree: an interval without end
            low, high = np.exp([e.low for e in logs]), np.exp([e.high for e in logs])
        axes.vlines(at, low, high, color=style["color"], linewidth=1.2, alpha=0.6)
        means += middle.tolist()
    axes.set_yscale("log")
    room = max(1.5, (max(means) / min(means)) ** 0.12)
    axes.set_ylim(min(min(means) / room, 0.5), max(max(means) * room, 2.0))
    axes.axhline(1.0, color=BASELINE_COLOUR, linewidth=1.4, zorder=1.5)
    tasks = [row["task"] for row in comparison.rows]
    axes.set_xlim(min(tasks) - 0.6, max(tasks) + 0.6)
    axes.annotate(
        "as fast as from scratch", (1, 1), (0, -5), ha="right", va="top", **AT_HEIGHT,
        bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1},
    )  # fmt: skip
    if len(means) == 1:
        axes.annotate(
            "nothing to compare with" if arms else "only starts from scratch were run",
            (0.5, 0.7), xycoords="axes fraction", ha="center", color=GREY, fontsize=12,
        )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    plain_ticks(axes.yaxis, "×")
    axes.set_xlabel("task, in order", **WORDS)
    axes.set_ylabel(f"speed-up (times fewer {comparison.unit})", **WORDS)
    seeds = len({row["seed"] for row in comparison.rows})
    more = f" (mean of {seeds} seeds, 95 % interval)" if seeds > 1 else ""
    axes.set_title(f"Speed-up task by task{more}", loc="left", **WORDS)
