"""What it saves to select among past games, where an average of them is near none.

Sequences of games drawn in random order from one base game or several, solved from scratch and from
each start by the same solver. Per sequence, the iterations from scratch over those from each start,
without the first games (the first third); mean over sequences with its 95 % interval, and the worst
single game after the first. "Counted" adds to the iterations what the starts cost, in games with a
horizon: a measurement of the gap is one iteration, and composing K policies is K of them (an
iteration is one product of a stage matrix per player and node).

    python benchmarks/sources.py [--sequences 10] [--out FOLDER] [--only NAME …]
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import metamarl as mm
from metamarl.files import write_csv
from metamarl.statistics import mean_interval

SIZES = [(8, 4, 6), (10, 5, 5), (9, 4, 5), (8, 6, 4), (10, 4, 4), (8, 5, 6), (9, 6, 6), (10, 4, 6)]
ARMS = ("average", "last", "robust", "select")
LIMIT = 60_000

Draw = Callable[[int], list[mm.MarkovGame]]


def in_turn(parts: list[list[mm.MarkovGame]], seed: int) -> list[mm.MarkovGame]:
    """As many games as one part has, from all parts alike, in random order."""
    n = len(parts[0])
    order = np.random.default_rng(seed).permutation(np.arange(n) % len(parts))
    return [parts[part][k] for k, part in enumerate(order)]


def random_games(bases: int, spread: float, kind: str, seed: int) -> list[mm.MarkovGame]:
    S, A, B = SIZES[seed % len(SIZES)]
    knobs = {"states": S, "actions": (A, B), "kind": kind}
    parts = [mm.tasks("random", 12, spread, seed + 1000 * b, **knobs) for b in range(bases)]
    return in_turn(parts, seed)


def named(name: str, spread: float, variants: list[dict], seed: int) -> list[mm.MarkovGame]:
    parts = [mm.tasks(name, 9, spread, seed + 1000 * b, **v) for b, v in enumerate(variants)]
    return in_turn(parts, seed)


SOCCER = [{}, {"slip": (0.3, 0.3)}]
GOOFSPIEL = [{"cards": 4}, {"cards": 4, "prizes": (4, 3, 2, 9)}]
OMD = mm.OptimisticMirrorDescent(factor=0.6)  # the best from scratch: see meta_spread.py
STUDIES: dict[str, tuple[Draw, object]] = {
    **{
        f"one base, spread {s}": (partial(random_games, 1, s, "zero-sum"), OMD) for s in (0.02, 0.1)
    },
    **{
        f"two bases, spread {s}": (partial(random_games, 2, s, "zero-sum"), OMD)
        for s in (0.0, 0.02, 0.1, 0.3)
    },
    "four bases, spread 0.02": (partial(random_games, 4, 0.02, "zero-sum"), OMD),
    "unrelated": (partial(random_games, 1, 1.0, "zero-sum"), OMD),
    "soccer, slip 0 and 0.3": (partial(named, "soccer", 0.02, SOCCER), "omd"),
    "goofspiel, two sets of prizes": (partial(named, "goofspiel", 0.1, GOOFSPIEL), "omd"),
    "general-sum, two bases, 0.02": (partial(random_games, 2, 0.02, "general-sum"), "omd"),
    "general-sum, unrelated": (partial(random_games, 1, 1.0, "general-sum"), "omd"),
    "potential, two bases, 0.02": (partial(random_games, 2, 0.02, "potential"), "q-ascent"),
    "potential, unrelated": (partial(random_games, 1, 1.0, "potential"), "q-ascent"),
}


def overhead(arm: str, task: int) -> int:
    """What a start costs, in iterations of a game with a horizon."""
    return 0 if task == 0 else {"robust": 2, "select": 3 + task}.get(arm, 0)


def study(name: str, sequences: int) -> list[dict]:
    draw, solver = STUDIES[name]
    games = {seed: draw(seed) for seed in range(sequences)}
    found = mm.compare(games, list(ARMS), solver, 1e-2, max_iterations=LIMIT)
    count = {(r["seed"], r["task"], r["arm"]): r["iterations"] for r in found.rows}
    value = defaultdict(list)
    for row in found.rows:
        value[row["arm"]].append(row["value"])
    n, timed = len(games[0]), games[0][0].horizon is not None
    for arm in ARMS:
        ratios, counted, worst = [], [], np.inf
        for s in games:
            late = range(n // 3, n)
            scratch = sum(count[s, k, "none"] for k in late)
            ratios.append(scratch / sum(count[s, k, arm] for k in late))
            counted.append(scratch / sum(count[s, k, arm] + overhead(arm, k) for k in late))
            worst = min(worst, *(count[s, k, "none"] / count[s, k, arm] for k in range(1, n)))
        more = f"{np.mean(value[arm]) - np.mean(value['none']):+8.4f}"
        print(
            f"{name:30} {arm:8} {f'{mean_interval(ratios):.2f}':24} {worst:6.2f} "
            f"{f'{np.mean(counted):.2f}' if timed else '-':>8} {more}",
            flush=True,
        )
    return [{"study": name, **row} for row in found.rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sequences", type=int, default=10)
    parser.add_argument("--only", nargs="*", default=list(STUDIES), choices=list(STUDIES))
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    print(f"{'games':30} {'start':8} {'speed-up':24} {'worst':>6} {'counted':>8}    value")
    rows = []
    for name in options.only:
        rows += study(name, options.sequences)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        write_csv(options.out / "sources.csv", rows)


if __name__ == "__main__":
    main()
