"""What a comparison of high-tier agents found: table, files, figure."""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.files import check_folder, write_csv, write_text
from metamarl.statistics import Estimate, mean_interval, ratio_interval
from metamarl.tier_run import TieredRun

Key = tuple[int, int, str]
FILES = ("figure.png", "rows.csv", "regret.csv", "states.csv", "table.txt", "config.json")


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class TierComparison:
    """What `compare_tiers` found.

    The table is over the (model, seed) pairs that every agent has finished: all but after Ctrl-C.
    """

    runs: dict[Key, TieredRun]
    """By (model, seed, agent), in order; runs that Ctrl-C cut short are among them."""
    agents: list[str]
    """Labels of the agents, in order."""
    seconds: dict[Key, float]
    """What every run took, by the clock."""
    config: dict[str, Any]
    """What was run."""
    interrupted: bool = False
    """True after Ctrl-C."""

    def finished(self) -> list[tuple[int, int]]:
        """(model, seed) pairs that every agent has finished, in order."""
        done = {key for key, run in self.runs.items() if not run.interrupted}
        pairs = dict.fromkeys(key[:2] for key in self.runs)
        return [pair for pair in pairs if all((*pair, agent) in done for agent in self.agents)]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dict per run: model, seed, agent, episodes, regret, last_half and more.

        `last_half` is the regret of the second half of the episodes, `transferable` the regret in
        transferable states, `trusting` the share of (step, state) pairs at which a source is
        followed at the end, `low` the sources' mean regret; `seconds` are by the clock.
        """
        return [_row(key, run, self.seconds[key]) for key, run in self.runs.items()]

    def summary(self) -> list[dict[str, Any]]:
        """One dict per agent: agent, regret, ratio (to the first agent), last_half, trusting.

        Intervals (95 %) are over the models, whose seeds are averaged, or over the seeds of one.
        """
        pairs, rows = self.finished(), {(r["model"], r["seed"], r["agent"]): r for r in self.rows}
        place = 0 if len({model for model, _ in pairs}) > 1 else 1  # what is independent
        units = sorted({pair[place] for pair in pairs})

        def means(agent: str, column: str) -> list[float]:
            own = {pair: rows[(*pair, agent)][column] for pair in pairs}
            return [float(np.mean([own[p] for p in pairs if p[place] == u])) for u in units]

        first = means(self.agents[0], "regret")
        found = []
        for agent in self.agents:
            regret = means(agent, "regret")
            fair = bool(regret) and min(regret) > 0 < min(first)
            found.append(
                {
                    "agent": agent,
                    "regret": _positive(mean_interval(regret)),
                    "ratio": ratio_interval(np.c_[regret, first]) if fair else Estimate(math.nan),
                    "last_half": _positive(mean_interval(means(agent, "last_half"))),
                    "trusting": mean_interval(means(agent, "trusting")).mean,
                }
            )
        return found

    def table(self) -> str:
        """Return the summary as text."""
        head = ["agent", "regret", f"of {self.agents[0]}'s", "in the last half", "trusting"]
        lines = [head]
        for row in self.summary():
            first = row["agent"] == self.agents[0]
            cells = [
                _cell(row["regret"], ",.1f"),
                "1" if first else _cell(row["ratio"], ".2f"),
                _cell(row["last_half"], ",.2f"),
                _cell(row["trusting"], ".0%"),
            ]
            lines.append([row["agent"], *cells])
        widths = [max(len(line[c]) for line in lines) for c in range(len(head))]
        return "\n".join(
            "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Draw regret with bands, and where sources were trusted; return the file's path."""
        from metamarl.tier_plot import plot_tiers

        return plot_tiers(self.by_agent(), path)

    def by_agent(self) -> dict[str, list[TieredRun]]:
        """The runs of every agent; without any that is finished, those that were begun."""
        pairs = self.finished() or list(dict.fromkeys(key[:2] for key in self.runs))
        chosen = {a: [self.runs.get((*pair, a)) for pair in pairs] for a in self.agents}
        return {a: [r for r in runs if r is not None and r.episodes] for a, runs in chosen.items()}

    def save(self, folder: str | os.PathLike[str], *, seconds: bool = True) -> Path:
        """Write rows.csv, regret.csv, states.csv, table.txt, config.json and figure.png.

        Each is written atomically; states.csv is of the first (model, seed).

        Args:
            folder: where; made where it is not there.
            seconds: False leaves them out of rows.csv, which then is the same on every machine.

        Raises:
            ValueError, OSError: a folder that cannot be written into, found out first.
        """
        folder = check_folder(folder, FILES)
        folder.mkdir(parents=True, exist_ok=True)
        rows = self.rows
        if not seconds:
            rows = [{k: x for k, x in row.items() if k != "seconds"} for row in rows]
        write_csv(folder / "rows.csv", rows)
        write_csv(folder / "regret.csv", self._labelled(TieredRun.regret_rows, self.runs))
        first = [key for key in self.runs if key[:2] == next(iter(self.runs))[:2]]
        write_csv(folder / "states.csv", self._labelled(TieredRun.state_rows, first))
        write_text(folder / "table.txt", self.table() + "\n")
        write_text(folder / "config.json", json.dumps(self.config, indent=2, default=repr) + "\n")
        if any(self.by_agent().values()):
            self.plot(folder / "figure.png")
        return folder

    def _labelled(
        self, rows: Callable[[TieredRun], Iterator[dict[str, Any]]], keys: Iterable[Key]
    ) -> Iterator[dict[str, Any]]:
        for model, seed, agent in keys:
            for row in rows(self.runs[model, seed, agent]):
                yield {"model": model, "seed": seed, "agent": agent, **row}


def _row(key: Key, run: TieredRun, seconds: float) -> dict[str, Any]:
    model, seed, agent = key
    regret: NDArray[np.float64] = run.regret_at([run.episodes // 2, run.episodes])
    some = len(run.recorded) > 0
    return {
        "model": model,
        "seed": seed,
        "agent": agent,
        "episodes": run.episodes,
        "regret": float(regret[-1, 1]),
        "last_half": float(regret[-1, 1] - regret[-1, 0]),
        "transferable": float(run.regret_split[-1, 0]) if some else 0.0,
        "trusting": float(run.trust_share[-1].sum()) if some else 0.0,
        "low": float(regret[:-1, 1].mean()),
        "seconds": seconds,
    }


def _positive(found: Estimate) -> Estimate:
    """No regret is negative."""
    return Estimate(found.mean, max(found.low, 0.0), found.high) if found.low < 0 else found


def _cell(value: float | Estimate, spec: str) -> str:
    nothing = math.isnan(value.mean if isinstance(value, Estimate) else value)
    return "-" if nothing else format(value, spec)
