"""What a network that begins every stage saves, and how much of it is learned.

Families of related zero-sum games, solved in order to gap 1e-2 by optimistic mirror descent, with
the factor of the adaptive step size that is best for the uniform start (0.55: see meta_spread.py).
Iterations from scratch over those from each start, in the later games of a family (5-12 of 12, or
3-6 of 6); mean over families with its 95 % interval, and the worst single game but the first.

Starts: `neural`, `robust` and `average`, which learn; and what nothing has to be learned for:
`plays`, every stage from the average plays of the last one (mm.LastPlays); `unrolled`, the network
as it is before it is trained, which is eight steps of mirror descent; and `matching`, a hundred
iterations of regret matching on every stage matrix, whose work does not count as iterations.

Seconds from scratch over seconds with a start come last: of the later solves alone, and of all
games with all training. A second table is of a network trained on random games with 3-6 actions, in
games with 8.

    python benchmarks/neural_start.py [--families 10] [--only random] [--out FOLDER]
"""

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

import metamarl as mm
from metamarl.algorithms.stage_starts import Plays, certified_plays
from metamarl.files import write_csv
from metamarl.statistics import mean_interval

SIZES = [(8, 4, 6), (10, 5, 5), (9, 4, 5), (8, 6, 4), (10, 4, 4), (8, 5, 6), (9, 6, 6), (10, 4, 6)]
SETTINGS = {  # family, spread, games, first of the later ones
    "random, 0.3": ("random", 0.3, 12, 4),
    "random, 1": ("random", 1.0, 12, 4),
    "goofspiel, 0.3": ("goofspiel", 0.3, 6, 2),
    "soccer, 0.3": ("soccer", 0.3, 6, 2),
}
SOLVER = mm.OptimisticMirrorDescent(factor=0.55)
TOL, LIMIT = 1e-2, 60_000


@dataclass(frozen=True, kw_only=True)
class Matching(mm.StageStart):
    """Predictive regret matching+ on every stage matrix, from the uniform policy."""

    iterations: int = 100

    def propose(self, matrices: np.ndarray, plays: Plays) -> Plays:
        """See `StageStart.propose`."""
        span = np.ptp(matrices, (1, 2), keepdims=True)
        Q = matrices / np.where(span > 0, span, 1.0)
        pays = (Q, -Q.swapaxes(1, 2))
        regrets = [np.zeros_like(play) for play in plays]
        sums = [np.zeros_like(play) for play in plays]
        now = [np.full_like(play, 1.0 / play.shape[1]) for play in plays]
        for t in range(1, self.iterations + 1):
            for i in (0, 1):
                u = (pays[i] @ now[1 - i][..., None])[..., 0]
                gain = u - (now[i] * u).sum(1, keepdims=True)
                regrets[i] = np.maximum(regrets[i] + gain, 0.0)
                x = np.maximum(regrets[i] + gain, 0.0)
                total = x.sum(1, keepdims=True)
                now[i] = np.where(total > 0, x / np.where(total > 0, total, 1.0), 1 / x.shape[1])
                sums[i] += float(t) * t * now[i]
        first, second = (s / s.sum(1, keepdims=True) for s in sums)
        return certified_plays(matrices, (first, second), self.caution, self.least)


@dataclass(frozen=True, kw_only=True)
class Plain(mm.MetaLearner):
    """One stage start for all games: nothing is learned."""

    name: ClassVar[str] = "plain"
    learns: ClassVar[bool] = False
    kind: str

    @property
    def label(self) -> str:
        """Which one."""
        return self.kind

    def start(self, game, past):  # noqa: ARG002
        """See `MetaLearner.start`."""
        if self.kind == "plays":
            return mm.LastPlays()
        return Matching() if self.kind == "matching" else mm.StageNetwork.untrained()


def families(name: str, count: int, spread: float, games: int) -> dict[int, list[mm.MarkovGame]]:
    found = {}
    for seed in range(count):
        S, A, B = SIZES[seed % len(SIZES)]
        knobs = {"states": S, "actions": (A, B)} if name == "random" else {}
        found[seed] = mm.tasks(name, games, spread, seed, **knobs)
    return found


def measure(label: str, count: int, jobs: int) -> list[dict]:
    name, spread, games, later = SETTINGS[label]
    plain = [Plain(kind=kind) for kind in ("plays", "unrolled", "matching")]
    arms = ["neural", "robust", "average", *plain]
    drawn = families(name, count, spread, games)
    mm.compare(families(name, 1, spread, 2), arms, SOLVER, TOL)  # compiles
    found = mm.compare(drawn, arms, SOLVER, TOL, n_jobs=jobs, max_iterations=LIMIT)
    each = {(r["seed"], r["task"], r["arm"]): r for r in found.rows}
    totals: dict[tuple[int, str], np.ndarray] = defaultdict(lambda: np.zeros(3))
    for (seed, task, arm), row in each.items():
        if task >= later:
            alone = found.traces[seed, task, arm].seconds[-1]
            totals[seed, arm] += (row["iterations"], alone, 0.0)
        totals[seed, arm] += (0.0, 0.0, row["seconds"])
    for arm in found.arms[1:]:
        ratios = np.array([totals[s, "none"] / totals[s, arm] for s in drawn])
        pairs = [(each[s, k, "none"], each[s, k, arm]) for s in drawn for k in range(1, games)]
        worst = min(one["iterations"] / other["iterations"] for one, other in pairs)
        interval = f"{mean_interval(ratios[:, 0].tolist()):.2f}"
        seconds = f"{ratios[:, 1].mean():8.2f} {ratios[:, 2].mean():10.3f}"
        print(f"{label:15} {arm:9} {interval:24} {worst:7.2f} {seconds}", flush=True)
    return [{"setting": label, **row} for row in found.rows]


def other_shapes(count: int) -> None:
    """Train on matrices of 3-6 actions, solve games with 8."""
    print("\ntrained on random games with 3-6 actions, in games with 8 x 8 (spread 1)")
    ratios: dict[str, list[float]] = defaultdict(list)
    for seed in range(count):
        shapes = [(3, 4), (4, 6), (5, 5), (6, 3)]
        known = [mm.tasks("random", 1, 1.0, 100 * seed + k, actions=a)[0]
                 for k, a in enumerate(shapes)]  # fmt: skip
        network = mm.train_network(known, tol=TOL, solver=SOLVER, seed=seed)
        games = mm.tasks("random", 3, 1.0, 1000 + seed, actions=(8, 8))
        starts = {"none": None, "trained": network, "unrolled": mm.StageNetwork.untrained()}
        starts["plays"] = mm.LastPlays()
        spent = {
            label: sum(
                mm.solve(game, SOLVER, start, TOL, LIMIT, throw=False).iterations for game in games
            )
            for label, start in starts.items()
        }
        for label in list(starts)[1:]:
            ratios[label].append(spent["none"] / spent[label])
    for label, values in ratios.items():
        print(f"{label:15} {mean_interval(values):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="", help="settings whose names begin so; 'shapes'")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    print(f"{'games':15} {'start':9} {'fewer iterations':24}   worst   solves   with all")
    rows, began = [], time.perf_counter()
    for label in SETTINGS:
        if label.startswith(options.only):
            rows += measure(label, options.families, options.jobs)
    if "shapes".startswith(options.only):
        other_shapes(options.families)
    print(f"\n{time.perf_counter() - began:.0f} seconds in all")
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        write_csv(options.out / "neural_start.csv", rows)


if __name__ == "__main__":
    main()
