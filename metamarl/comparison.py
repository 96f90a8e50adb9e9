"""What a comparison found: rows, summary, table, files, figure."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from metamarl.algorithms.solution import Trace
from metamarl.bounds import Bound
from metamarl.distances import Similarity
from metamarl.files import check_folder, write_csv, write_text
from metamarl.statistics import Estimate, mean_interval, ratio_interval

Row = dict[str, Any]
BASELINE = "none"
FILES = ("figure.png", "rows.csv", "traces.csv", "table.txt", "config.json")


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison:
    """What `compare` found.

    Speed-ups, summary and table are over the (seed, task) pairs that every arm has finished, which
    are all of them but after Ctrl-C.
    """

    rows: list[Row]
    """One dict per (seed, task, arm): seed, task, arm, iterations (of all starts, where a learner
    ran several), seconds (choosing the start included), gap, value (the players' mean; in zero-sum
    games player 0's), converged."""
    traces: dict[tuple[int, int, str], Trace]
    """The gap along the way, by (seed, task, arm)."""
    arms: list[str]
    """Arms in order; the first is "none"."""
    config: dict[str, Any]
    """What was run."""
    bounds: dict[tuple[int, int, str], Bound] = field(default_factory=dict)
    """Estimates of the gap after T iterations, in the form of the theory, by (seed, task, arm),
    where it applies (see `convergence_bound`)."""
    similarity: dict[int, Similarity] = field(default_factory=dict)
    """By seed, how alike the games of a sequence are, and their solutions from the first learned
    starts; without an arm that learns, nothing."""
    interrupted: bool = False
    """True after Ctrl-C: `rows` holds what was finished."""

    @property
    def unit(self) -> str:
        """What the solver counts: "iterations", "episodes" or "steps"."""
        return str(self.config.get("unit", "iterations"))

    def __repr__(self) -> str:
        arms, stopped = ", ".join(self.arms), ", interrupted" if self.interrupted else ""
        speedup = "" if math.isnan(self.speedup) else f", speed-up {self.speedup:.2f}"
        return f"<Comparison of {arms}: {len(self.rows)} solves{speedup}{stopped}>"

    def common(self) -> list[tuple[int, int]]:
        """(seed, task) pairs that every arm has finished, in order."""
        found = {(r["seed"], r["task"], r["arm"]) for r in self.rows}
        return sorted({(s, k) for s, k, _ in found if all((s, k, a) in found for a in self.arms)})

    def _bounds_at(self, key: tuple[int, int, str], trace: Trace) -> list[float | str]:
        """The theory's estimate at every measurement of the gap; "" where it says nothing."""
        if key not in self.bounds:
            return [""] * len(trace)
        found: list[float] = self.bounds[key](trace.iteration).tolist()
        return [b if math.isfinite(b) else "" for b in found]

    def _by_seed(self, arm: str) -> dict[int, list[Row]]:
        """By seed, the rows of an arm that can be compared, task by task."""
        found = {(r["seed"], r["task"]): r for r in self.rows if r["arm"] == arm}
        rows: dict[int, list[Row]] = {}
        for seed, task in self.common():
            rows.setdefault(seed, []).append(found[seed, task])
        return rows

    def speedups(self) -> dict[str, Estimate]:
        """By arm: total iterations from scratch / from the arm's starts, with its interval.

        The interval (95 %) is over the seeds, so there is none with one seed.
        """
        totals = {
            arm: [sum(r["iterations"] for r in rows) for rows in self._by_seed(arm).values()]
            for arm in self.arms
        }
        scratch = totals[self.arms[0]]
        return {arm: ratio_interval(np.c_[scratch, totals[arm]]) for arm in self.arms[1:]}

    @property
    def speedup(self) -> float:
        """Total iterations from scratch / from the first meta-learner's starts; NaN without one."""
        return self.speedups()[self.arms[1]].mean if len(self.arms) > 1 else math.nan

    def summary(self) -> list[Row]:
        """One dict per arm: arm, iterations, speedup (estimates), slower, converged, seconds.

        The last three are a share, a share and a sum; NaN where there is nothing to compare.
        """
        speedups = self.speedups()
        scratch = [r["iterations"] for rows in self._by_seed(BASELINE).values() for r in rows]
        found = []
        for arm in self.arms:
            by_seed = self._by_seed(arm).values()
            rows = [r for part in by_seed for r in part]
            means = [float(np.mean([r["iterations"] for r in part])) for part in by_seed]
            iterations, share = mean_interval(means), 1 / len(rows) if rows else math.nan
            if iterations.low < 0:  # no number of iterations is
                iterations = replace(iterations, low=0.0)
            slower = sum(r["iterations"] > n for r, n in zip(rows, scratch, strict=True))
            found.append(
                {
                    "arm": arm,
                    "iterations": iterations,
                    "speedup": speedups.get(arm),
                    "slower": slower * share,
                    "converged": sum(r["converged"] for r in rows) * share,
                    "seconds": sum(r["seconds"] for r in rows) if rows else math.nan,
                }
            )
        return found

    def table(self, *, seconds: bool = True) -> str:
        """Return the summary as text: mean, 95 % interval, speed-up, share of slower tasks.

        `seconds` are summed over the solves, whichever worker did them: with several workers they
        are more than went by. "-" stands where there is nothing to compare.
        """
        head = ["start", f"{self.unit} per task"]
        head += ["speed-up", "tasks slower", "converged", "seconds"]
        lines = [head]
        for row in self.summary():
            first = row["arm"] == BASELINE
            lines.append(
                [
                    row["arm"],
                    _cell(row["iterations"], ",.0f"),
                    "1 (by definition)" if first else _cell(row["speedup"], ".2f"),
                    "-" if first else _cell(row["slower"], ".0%"),
                    _cell(row["converged"], ".0%"),
                    _cell(row["seconds"], ".2f"),
                ]
            )
        if not seconds:
            lines = [line[:-1] for line in lines]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Draw the gap against iterations and the speed-up per task; return the file's path.

        Where the theory applies, which it does not to "adaptive" steps, its estimates are beside
        the gaps.
        """
        from metamarl.plot import plot_comparison

        return plot_comparison(self, path)

    def save(self, folder: str | os.PathLike[str], *, seconds: bool = True) -> Path:
        """Write rows.csv, traces.csv, table.txt, config.json and figure.png, each atomically.

        Without `seconds` the first three are the same, byte by byte, whenever the same work is
        done, however often it was interrupted.

        Raises:
            ValueError, OSError: a folder that cannot be written into, found out first.
        """
        folder = check_folder(folder, FILES)
        folder.mkdir(parents=True, exist_ok=True)
        left_out = () if seconds else ("seconds",)
        write_csv(folder / "rows.csv", (_without(row, left_out) for row in self.rows))
        write_csv(
            folder / "traces.csv",
            (
                _without(
                    {
                        "seed": s,
                        "task": k,
                        "arm": arm,
                        "iteration": i,
                        "gap": g,
                        "seconds": t,
                        "bound": b,
                    },
                    left_out,
                )
                for (s, k, arm), trace in self.traces.items()
                for i, g, t, b in zip(
                    trace.iteration.tolist(),
                    trace.gap.tolist(),
                    trace.seconds.tolist(),
                    self._bounds_at((s, k, arm), trace),
                    strict=True,
                )
            ),
        )
        write_text(folder / "table.txt", self.table(seconds=seconds) + "\n")
        write_text(folder / "config.json", json.dumps(self.config, indent=2, default=repr) + "\n")
        if self.rows:
            self.plot(folder / "figure.png")
        return folder


def _without(row: Row, names: Sequence[str]) -> Row:
    return {name: value for name, value in row.items() if name not in names}


def _cell(value: float | Estimate, spec: str) -> str:
    nothing = math.isnan(value.mean if isinstance(value, Estimate) else value)
    return "-" if nothing else format(value, spec)
