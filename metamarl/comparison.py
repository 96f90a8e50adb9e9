"""What a comparison found: rows, summary, table, files, figure."""

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metamarl.algorithms.solution import Trace
from metamarl.files import write_csv, write_text
from metamarl.statistics import Estimate, mean_interval, ratio_interval

Row = dict[str, Any]
BASELINE = "none"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `compare` found."""

    rows: list[Row]
    """One dict per (seed, task, arm): seed, task, arm, iterations, seconds (choosing the start
    included), gap, value (the players' mean; in zero-sum games player 0's), converged."""
    traces: dict[tuple[int, int, str], Trace] = field(repr=False)
    """The gap along the way, by (seed, task, arm)."""
    arms: list[str]
    """Arms in order; the first is "none"."""
    config: dict[str, Any] = field(repr=False)
    """What was run."""
    interrupted: bool = False
    """True after Ctrl-C: `rows` holds what was finished."""

    def _pairs(self, arm: str) -> dict[int, list[tuple[int, int]]]:
        """By seed, the iterations of every task (from scratch, from the arm's start)."""
        found = {(r["seed"], r["task"], r["arm"]): r["iterations"] for r in self.rows}
        pairs: dict[int, list[tuple[int, int]]] = {}
        for (seed, task, name), iterations in sorted(found.items()):
            if name == arm and (seed, task, BASELINE) in found:
                pairs.setdefault(seed, []).append((found[seed, task, BASELINE], iterations))
        return pairs

    def speedups(self) -> dict[str, Estimate]:
        """By arm: total iterations from scratch / from the arm's starts, with its interval.

        The interval (95 %) is over the seeds, so there is none with one seed.
        """
        totals = {
            arm: np.array([np.sum(p, 0) for p in self._pairs(arm).values()]) for arm in self.arms
        }
        return {arm: ratio_interval(totals[arm]) for arm in self.arms[1:]}

    @property
    def speedup(self) -> float:
        """Total iterations from scratch / from the first meta-learner's starts; NaN without one."""
        return self.speedups()[self.arms[1]].mean if len(self.arms) > 1 else math.nan

    def summary(self) -> list[Row]:
        """One dict per arm: arm, iterations, speedup (estimates), slower, converged, seconds."""
        speedups = self.speedups()
        found = []
        for arm in self.arms:
            rows = [r for r in self.rows if r["arm"] == arm]
            pairs = [pair for p in self._pairs(arm).values() for pair in p]
            by_seed: dict[int, list[float]] = {}
            for r in rows:
                by_seed.setdefault(r["seed"], []).append(r["iterations"])
            means = [float(np.mean(v)) for v in by_seed.values()]
            found.append(
                {
                    "arm": arm,
                    "iterations": mean_interval(means),
                    "speedup": speedups.get(arm),
                    "slower": sum(b > a for a, b in pairs) / len(pairs) if pairs else math.nan,
                    "converged": sum(r["converged"] for r in rows) / len(rows)
                    if rows
                    else math.nan,
                    "seconds": sum(r["seconds"] for r in rows),
                }
            )
        return found

    def table(self) -> str:
        """Return the summary as text: mean, 95 % interval, speed-up, share of slower tasks."""
        head = ["start", "iterations per task", "speed-up", "tasks slower", "converged", "seconds"]
        lines = [head]
        for row in self.summary():
            first = row["arm"] == BASELINE
            lines.append(
                [
                    row["arm"],
                    f"{row['iterations']:,.0f}",
                    "1 (by definition)" if first else f"{row['speedup']:.2f}",
                    "-" if first else f"{row['slower']:.0%}",
                    f"{row['converged']:.0%}",
                    f"{row['seconds']:.2f}",
                ]
            )
        widths = [max(len(line[c]) for line in lines) for c in range(len(head))]
        return "\n".join(
            "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Draw the gap against iterations and the speed-up per task; return the file's path."""
        from metamarl.plot import plot_comparison

        return plot_comparison(self, path)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write rows.csv, traces.csv, table.txt, config.json and figure.png, each atomically."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(folder / "rows.csv", self.rows)
        write_csv(
            folder / "traces.csv",
            (
                {"seed": s, "task": k, "arm": arm, "iteration": i, "gap": g, "seconds": t}
                for (s, k, arm), trace in self.traces.items()
                for i, g, t in zip(
                    trace.iteration.tolist(),
                    trace.gap.tolist(),
                    trace.seconds.tolist(),
                    strict=True,
                )
            ),
        )
        write_text(folder / "table.txt", self.table() + "\n")
        write_text(folder / "config.json", json.dumps(self.config, indent=2, default=repr) + "\n")
        if self.rows:
            self.plot(folder / "figure.png")
        return folder
