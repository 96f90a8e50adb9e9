"""How many episodes a meta-learned start saves where games can only be played.

Families of soccer (to gap 0.3; from the uniform policy it is 1.1) and of pursuit on a 3 x 3 grid,
six moves (to 0.15, from 0.99): 6 games each, learned by decentralised V-learning without a model.
The episodes of games 3-6 of all families from scratch over those from each start, with a 95 %
interval over families, and the worst single game (2-6). With --fixed the step size is that of the
uniform start for all: without what the divergence of past solutions from their starts teaches.

"pettingzoo" is pursuit on a 2 x 2 grid, four moves (to 0.5, from 0.94), played step by step in its
PettingZoo environment and graded on the exact game.

    python benchmarks/episodes.py [--game soccer] [--spreads 0.02 0.1 0.5] [--families 4] [--fixed]
"""

import argparse
from collections import defaultdict
from pathlib import Path

import metamarl as mm
from metamarl.files import write_csv
from metamarl.statistics import ratio_interval

GAMES, LIMIT = 6, 3_000_000
SETTINGS = {
    "soccer": ("soccer", 0.3, {}),
    "pursuit": ("pursuit", 0.15, {"size": 3, "horizon": 6}),
    "pettingzoo": ("pursuit", 0.5, {"size": 2, "horizon": 4}),
}
ARMS = ["robust", "average", "last"]


def played(game: mm.MarkovGame) -> mm.EpisodicEnvironment:
    return mm.EpisodicEnvironment(lambda: mm.to_pettingzoo(game))


def measure(name: str, spread: float, families: int, distance: float | None, jobs: int) -> list:
    """Rows of all arms."""
    game, tol, knobs = SETTINGS[name]
    tasks: dict = {s: mm.tasks(game, GAMES, spread, s, **knobs) for s in range(families)}
    if name == "pettingzoo":
        tasks = {s: [played(game) for game in games] for s, games in tasks.items()}
    solver = mm.VLearning(resolution=0.15, distance=distance)
    found = mm.compare(tasks, ARMS, solver, tol, n_jobs=jobs, max_iterations=LIMIT)
    return [{"game": name, "spread": spread, **row} for row in found.rows]


def report(rows: list[dict], families: int) -> None:
    count = {(r["seed"], r["task"], r["arm"]): r["iterations"] for r in rows}
    totals: dict[tuple[int, str], int] = defaultdict(int)
    for (seed, task, arm), episodes in count.items():
        totals[seed, arm] += episodes if task >= 2 else 0
    scratch = sum(totals[s, "none"] for s in range(families)) / (GAMES - 2) / families
    print(f"  episodes per game from scratch: {scratch:,.0f}")
    for arm in dict.fromkeys(r["arm"] for r in rows if r["arm"] != "none"):
        pairs = [(totals[s, "none"], totals[s, arm]) for s in range(families)]
        worst = min(
            count[s, k, "none"] / count[s, k, arm] for s in range(families) for k in range(1, GAMES)
        )
        missed = sum(not r["converged"] for r in rows if r["arm"] in (arm, "none"))
        note = f"   {missed} not reached" if missed else ""
        speedup = f"{ratio_interval(pairs):.1f}"
        print(f"  {arm:28} {speedup:20} worst {worst:.2f}{note}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--game", choices=SETTINGS, default=None)
    parser.add_argument("--spreads", type=float, nargs="+", default=[0.02, 0.1, 0.5])
    parser.add_argument("--families", type=int, default=4)
    parser.add_argument("--fixed", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    rows = []
    for name in [options.game] if options.game else SETTINGS:
        for spread in options.spreads:
            print(f"{name}, spread {spread}")
            distance = 1.0 if options.fixed else None
            found = measure(name, spread, options.families, distance, options.jobs)
            report(found, options.families)
            rows += found
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        write_csv(options.out / "episodes.csv", rows)


if __name__ == "__main__":
    main()
