"""How the cost grows: with states, actions, horizon, players and transitions, and how steeply.

    python benchmarks/scaling.py [--quick] [--out FOLDER]

One size grows, the others stay; random games. For every size the least seconds of several turns,
and the least-squares slope of the logarithms, over the larger half of the sizes, where fixed costs
no longer show: 1 is linear. "exact" and "gap" are one backward pass over all steps; "omd" is one
iteration in every state and step, with the rest of a run taken off. Writes `scaling.json` and
`scaling.png`.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from contests import report
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from rich.console import Console
from rich.progress import track

import metamarl as mm
from metamarl.figures import DASHES, INK, PALETTE, calm, write_figure
from metamarl.files import check_folder, made_folder

FILES = ("scaling.json", "scaling.png")
PLAYS = 40  # iterations, of which the difference to half as many is taken


@dataclass(kw_only=True)
class Curve:
    """Seconds of one kind of work against one size."""

    axis: str
    work: str
    sizes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    slope: float = np.nan


def sparse_game(
    S: int, shape: Sequence[int], H: int, successors: int = 8, seed: int = 0
) -> mm.MarkovGame:
    """Random game with so many next states of every joint action; zero-sum for two players."""
    rng = np.random.default_rng(seed)
    rows = S * int(np.prod(shape))
    successors = min(successors, S)
    # Neighbours on a ring from a random state on: no state twice.
    columns = (rng.integers(0, S, rows)[:, None] + np.arange(successors)) % S
    weights = rng.exponential(size=(rows, successors))
    weights /= weights.sum(1, keepdims=True)
    P = sp.csr_array(
        (weights.ravel(), columns.ravel(), np.arange(0, rows * successors + 1, successors)),
        (rows, S),
    )
    reward = rng.random((len(shape), S, *shape))
    if len(shape) == 2:
        reward[1] = -reward[0]
    return mm.MarkovGame(P, reward, horizon=H)


def least(work: Callable[[], Any], budget: float) -> float:
    """Least seconds of at least three turns."""
    work()
    taken: list[float] = []
    while len(taken) < 3 or sum(taken) < budget:
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def iterations(game: mm.MarkovGame, budget: float) -> float:
    """Seconds of one iteration of mirror descent everywhere."""
    step = mm.OptimisticMirrorDescent(step_size=0.1, resolution=0.0)
    first = mm.JointPolicy.uniform(game).flat(game)

    def play(times: int) -> None:
        run, done = step.start(game, first), 0
        while done < times:
            done += run.advance(times - done)

    return (least(lambda: play(PLAYS), budget) - least(lambda: play(PLAYS // 2), budget)) / (
        PLAYS - PLAYS // 2
    )


def works(game: mm.MarkovGame, budget: float) -> dict[str, float]:
    """Seconds of every kind of work that a game allows."""
    policy, found = mm.JointPolicy.uniform(game), {}
    if game.kind == "zero-sum":
        first = policy.flat(game)
        found["exact"] = least(lambda: mm.Exact().start(game, first).advance(1), budget)
    found["omd"] = iterations(game, budget)
    found["gap"] = least(lambda: mm.nash_gap(game, policy), budget)
    return found


def grow(quick: bool) -> dict[str, tuple[list[int], Callable[[int], mm.MarkovGame]]]:
    """For every axis of the figure the sizes, and the game of a size."""
    few = 3 if quick else None
    return {
        "states S": (
            [100, 200, 400, 800, 1600, 3200, 6400][:few],
            lambda S: sparse_game(S, (5, 5), 10),
        ),
        "actions A": ([2, 4, 8, 16, 32, 64][:few], lambda A: sparse_game(50, (A, A), 5)),
        "horizon H": ([5, 10, 20, 40, 80, 160][:few], lambda H: sparse_game(100, (5, 5), H)),
        "joint actions of 3 to 7 players": (
            [3**n for n in (3, 4, 5, 6, 7)][:few],
            lambda joint: sparse_game(20, (3,) * round(np.log(joint) / np.log(3)), 5),
        ),
        "next states of a joint action": (
            [4, 16, 64, 256][:few],
            lambda k: sparse_game(1024, (5, 5), 5, successors=k),
        ),
    }


def measure(quick: bool) -> list[Curve]:
    """Measure all curves."""
    budget = 0.01 if quick else 0.2
    plan = [(axis, size, make) for axis, (sizes, make) in grow(quick).items() for size in sizes]
    works(sparse_game(4, (2, 2), 2), 0.0)  # compiles
    works(sparse_game(4, (2, 2, 2), 2), 0.0)
    curves: dict[tuple[str, str], Curve] = {}
    console = Console(stderr=True)
    for axis, size, make in track(
        plan, "scaling", console=console, disable=not console.is_terminal, transient=True
    ):
        for work, seconds in works(make(size), budget).items():
            curve = curves.setdefault((axis, work), Curve(axis=axis, work=work))
            if seconds > 0:  # a difference of times may drown in noise
                curve.sizes.append(size)
                curve.seconds.append(seconds)
    for curve in curves.values():
        curve.slope = slope(curve.sizes, curve.seconds)
    return list(curves.values())


def slope(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Slope of log seconds over log size, in the larger half of the sizes."""
    first = (len(sizes) - 1) // 2
    if len(sizes) - first < 2:
        return np.nan
    return float(np.polyfit(np.log(sizes[first:]), np.log(seconds[first:]), 1)[0])


def draw(path: Path, curves: Sequence[Curve]) -> None:
    """One panel per size, one line per kind of work."""
    axes_of = list(dict.fromkeys(curve.axis for curve in curves))
    figure = Figure(figsize=(3.9 * len(axes_of), 4.2), facecolor="white")
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
    FigureCanvasAgg(figure)
    names = list(dict.fromkeys(curve.work for curve in curves))
    for axes, axis in zip(figure.subplots(1, len(axes_of)), axes_of, strict=True):
        calm(axes)
        for curve in (c for c in curves if c.axis == axis):
            k = names.index(curve.work)
            axes.plot(
                curve.sizes, curve.seconds, color=PALETTE[k], linestyle=DASHES[k], marker="o",
                markersize=4, label=f"{curve.work}, slope {curve.slope:.2f}",
            )  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(axis_sizes := next(c.sizes for c in curves if c.axis == axis))
        axes.set_xticklabels([f"{size:,}" for size in axis_sizes], fontsize=8)
        axes.set_xticks([], minor=True)
        axes.yaxis.set_major_formatter(lambda y, _: report.seconds(y * (1 + 1e-9)))
        axes.set_yticks([], minor=True)
        axes.set_xlabel(axis, fontsize=11, color=INK)
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (high / low) ** 0.28)
        axes.legend(loc="upper left", frameon=False, fontsize=10)
    write_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few small sizes")
    parser.add_argument("--out", default="runs/scaling", metavar="FOLDER")
    given = parser.parse_args()
    folder = check_folder(given.out, FILES)
    with made_folder(folder):
        curves = measure(given.quick)
        print(f"{'size':30} {'work':6} {'from':>10} {'to':>10} {'slope':>6}")
        for curve in curves:
            first, last = (report.seconds(curve.seconds[k]) for k in (0, -1))
            print(f"{curve.axis:30} {curve.work:6} {first:>10} {last:>10} {curve.slope:6.2f}")
        report.write_json(folder / FILES[0], curves, seed=0)
        draw(folder / FILES[1], curves)


if __name__ == "__main__":
    main()
