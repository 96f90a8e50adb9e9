"""How many iterations a meta-learned start saves, against how much the games differ.

Random zero-sum families (H = 5, S = 8–10, A, B = 4–6), 12 games each, solved to gap 1e-2 by
optimistic mirror descent. First the step size is chosen that is best for the *uniform* start; then
all arms use it: the factor of the adaptive rule, whose η then depends on the play and so on the
start, or with --fixed one number η for all. Per family, the iterations of games 5–12 from scratch
over those from each start; mean over families with its 95 % interval, and the worst single game
(2–12).

    python benchmarks/meta_spread.py [--families 10] [--fixed] [--out FOLDER]
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

import metamarl as mm
from metamarl.files import write_csv
from metamarl.statistics import mean_interval

SIZES = [(8, 4, 6), (10, 5, 5), (9, 4, 5), (8, 6, 4), (10, 4, 4), (8, 5, 6), (9, 6, 6), (10, 4, 6)]
SPREADS = (0.005, 0.02, 0.1, 0.3, 1.0)
FACTORS = (0.3, 0.4, 0.5, 0.55, 0.575, 0.6, 0.65, 0.7)
NUMBERS = (0.5, 1.0, 1.5, 2.0, 2.5, 2.75, 3.0, 3.25)
TARGETS = {0.005: 20.0, 0.02: 4.0, 0.1: 1.25, 0.3: 0.97, 1.0: 0.97}
TOL, LIMIT, GAMES = 1e-2, 60_000, 12


def families(count: int, spread: float, games: int) -> dict[int, list[mm.MarkovGame]]:
    return {
        seed: mm.tasks("random", games, spread, seed, states=S, actions=(A, B))
        for seed in range(count)
        for S, A, B in [SIZES[seed % len(SIZES)]]
    }


def best_solver(count: int, option: str, values: tuple[float, ...]) -> mm.OptimisticMirrorDescent:
    """The step size that needs the fewest iterations from the uniform start."""
    print(f"iterations from the uniform start, mean of {count} families (spread 0.1), by {option}:")
    means = {}
    for value in values:
        solver = mm.OptimisticMirrorDescent(**{option: value})
        found = mm.compare(families(count, 0.1, 4), "none", solver, TOL, max_iterations=LIMIT)
        means[solver] = np.mean([row["iterations"] for row in found.rows])
        print(f"  {value:5}: {means[solver]:8,.0f}")
    return min(means, key=means.__getitem__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--families", type=int, default=10)
    parser.add_argument("--fixed", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    rule = ("step_size", NUMBERS) if options.fixed else ("factor", FACTORS)
    solver = best_solver(options.families, *rule)
    print(f"all arms with {rule[0]} {getattr(solver, rule[0])}\n")
    print(f"{'spread':>6}  {'start':8} {'speed-up, games 5-12':24} {'worst game':>10}   target")
    rows = []
    for spread in SPREADS:
        found = mm.compare(
            families(options.families, spread, GAMES),
            ["robust", "select", "average", "last"],
            solver,
            TOL,
            n_jobs=options.jobs,
            max_iterations=LIMIT,
        )
        count = {(r["seed"], r["task"], r["arm"]): r["iterations"] for r in found.rows}
        totals: dict[tuple[int, str], int] = defaultdict(int)
        for (seed, task, arm), iterations in count.items():
            totals[seed, arm] += iterations if task >= 4 else 0
        for arm in found.arms[1:]:
            ratios = [totals[s, "none"] / totals[s, arm] for s in range(options.families)]
            worst = min(
                count[s, k, "none"] / count[s, k, arm]
                for s in range(options.families)
                for k in range(1, GAMES)
            )
            target = f">= {TARGETS[spread]:g}, worst >= 0.8" if arm == "robust" else ""
            estimate = f"{mean_interval(ratios):.2f}"
            print(f"{spread:6}  {arm:8} {estimate:24} {worst:10.2f}   {target}")
        rows += [{"spread": spread, **row} for row in found.rows]
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        write_csv(options.out / "meta_spread.csv", rows)


if __name__ == "__main__":
    main()
