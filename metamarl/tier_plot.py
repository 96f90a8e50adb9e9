"""The figure of tiers: regret against episodes, and where the high tier trusted a source.

Left, for every agent: cumulative regret of the high tier; the mean over runs, and the band of its
95 % interval (Student's t); on a logarithmic axis where one agent paid more than ten times what the
median one did. Right, of the first agent that follows sources: the share of runs and
of records in the second half of the episodes in which one was followed, by step and state; a ring
marks what is transferable (in every run). With many states the rings are left out.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from metamarl.envs.checks import complaint
from metamarl.figures import (
    BASELINE_COLOUR,
    DASHES,
    GREY,
    INK,
    PALETTE,
    WORDS,
    add_legend,
    check_figure_path,
    new_figure,
    plain_ticks,
    write_figure,
)
from metamarl.statistics import mean_interval
from metamarl.tier_run import TieredRun

Runs = Mapping[str, Sequence[TieredRun]]
GRID_POINTS = 300
MOST_RINGS = 400
FAR_APART = 10.0  # the largest regret, in those of the median agent: a logarithmic axis


def plot_tiers(runs: Runs, path: str | os.PathLike[str], title: str = "") -> Path:
    """Draw runs, by their agent's label, into a .png, .pdf or .svg file; return its path.

    Raises:
        ValueError: an unknown suffix, or no run with a recorded episode.
        OSError: a folder that is missing or cannot be written to.
    """
    target = check_figure_path(path, "plot_tiers")
    some = {label: [r for r in found if len(r.recorded)] for label, found in runs.items()}
    some = {label: found for label, found in some.items() if found}
    if not some:
        raise ValueError(complaint("runs", "plot_tiers", "some with a played episode", runs))
    write_figure(_draw(some, title), target)
    return target


def _draw(runs: Runs, title: str) -> Figure:
    figure, left, right = new_figure()
    styles = _styles(list(runs))
    last = min(run.episodes for found in runs.values() for run in found)
    grid = np.unique(np.round(np.geomspace(1, max(last, 2), GRID_POINTS))).astype(np.int64)
    grid = grid[grid <= last]
    means = []
    for label, found in runs.items():
        curves = np.array([run.regret_at(grid)[-1] for run in found])
        style = styles[label]
        means.append(curves.mean(0))
        left.plot(grid, means[-1], **style)
        if len(curves) > 1:
            bands = [mean_interval(column) for column in curves.T.tolist()]
            low = [max(band.low, 0.0) for band in bands]
            high = [band.high for band in bands]
            left.fill_between(grid, low, high, color=style["color"], alpha=0.13, lw=0)
    left.set_xscale("log")
    left.set_xlim(1, max(last, 2))
    _scale_regret(left, np.array(means))
    plain_ticks(left.xaxis)
    left.set_xlabel("episodes", **WORDS)
    left.set_ylabel("cumulative regret (in units of reward)", **WORDS)
    count = max(len(found) for found in runs.values())
    more = f" (mean of {count} runs, 95 % interval)" if count > 1 else ""
    left.set_title(f"What the high tier paid{more}", loc="left", **WORDS)
    _draw_trust(right, runs)
    lines = [Line2D([], [], label=label, **styles[label]) for label in runs]
    add_legend(figure, lines, title or _title(next(iter(runs.values()))))
    return figure


def _scale_regret(axes: Axes, means: NDArray[np.float64]) -> None:
    """The axis of regret: from 0, or logarithmic where one agent would hide the others."""
    ends = np.sort(means[:, -1])
    median = ends[(len(ends) - 1) // 2]
    if ends[-1] > FAR_APART * median > 0:
        axes.set_yscale("log", nonpositive="mask")
        axes.set_ylim(means[means > 0].min() / 1.5, ends[-1] * 2)
        plain_ticks(axes.yaxis)
        return
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.10g}"))


def _title(found: Sequence[TieredRun]) -> str:
    run = found[0]
    sources = "1 source" if run.n_low == 1 else f"{run.n_low} sources"
    stopped = " (interrupted)" if any(r.interrupted for r in found) else ""
    return f"{sources}, {max(r.episodes for r in found):,} episodes{stopped}"


def _styles(labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for label in labels:
        k = len(found) - ("none" in found)
        found[label] = {
            "color": PALETTE[k % len(PALETTE)],
            "linestyle": DASHES[k % len(DASHES)],
            "linewidth": 2.2,
        }
        if label == "none":
            found[label] = {"color": BASELINE_COLOUR, "linestyle": "-", "linewidth": 1.8}
    return found


def _draw_trust(axes: Axes, runs: Runs) -> None:
    trusting = [label for label, found in runs.items() if any((r.trust >= 0).any() for r in found)]
    axes.grid(visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.set_xlabel("step", **WORDS)
    axes.set_ylabel("state", **WORDS)
    if not trusting:
        axes.set_title("Where a source was followed", loc="left", **WORDS)
        axes.set(xticks=[], yticks=[])
        axes.annotate(
            "nowhere", (0.5, 0.5), xycoords="axes fraction", ha="center", color=GREY, fontsize=12
        )
        return
    found = runs[trusting[0]]
    late = [r.trust[r.recorded > r.episodes // 2] >= 0 for r in found]
    share = np.mean([t.mean(0) for t in late], axis=0).T  # (S, H)
    image = axes.imshow(
        share, vmin=0, vmax=1, cmap="Blues", aspect="auto", origin="lower", interpolation="nearest"
    )
    covered = np.all([r.diagnosis.covered for r in found], axis=0).T
    if share.size <= MOST_RINGS:
        at = np.argwhere(covered)
        axes.scatter(at[:, 1], at[:, 0], s=120, facecolors="none", edgecolors="#D55E00", lw=1.8)
    assert axes.figure is not None
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=GREY, labelcolor=INK, labelsize=11)
    rings = "; ring: transferable" if covered.any() and share.size <= MOST_RINGS else ""
    axes.set_title(f"How often {trusting[0]} followed a source, late{rings}", loc="left", **WORDS)
