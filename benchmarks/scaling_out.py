"""What a study costs on many machines: seconds and bytes of every part of its work.

    python benchmarks/scaling_out.py [--cores 1000]

Parts are what `compare` hands out: an arm that learns with its whole sequence of games, and every
game from scratch by itself; and runs of `compare_tiers`. Bytes are those of the pickled task and of
its pickled result. Then, on paper: with how many cores the process that hands the work out is busy
all the time, if it does nothing but pickle tasks and unpickle results (which is timed), or if the
engine needs `--overhead` seconds per task; and what a study of `--solves` solves would take.
"""

import argparse
import pickle
import time
from typing import Any

import metamarl as mm
from metamarl.algorithms.solvers import find_solver
from metamarl.arms import Part, Terms, _run_part
from metamarl.comparing import usual_solver
from metamarl.learners import find_meta
from metamarl.tier_agents import find_agent
from metamarl.tier_arms import TierPart, run_there

TASKS = 20
GAMES: dict[str, dict[str, Any]] = {
    "soccer": {},
    "goofspiel": {"cards": 5},
    "random": {},
}


def measure(run: Any, task: Any) -> tuple[float, int, int, float]:
    """Seconds, bytes out, bytes back, and seconds of whoever hands the work out."""
    began = time.perf_counter()
    sent = pickle.dumps(task, protocol=pickle.HIGHEST_PROTOCOL)
    handing = time.perf_counter() - began
    run(*task)  # loads the kernels
    began = time.perf_counter()
    result = run(*task)
    seconds = time.perf_counter() - began
    back = pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL)
    began = time.perf_counter()
    pickle.loads(back)
    return seconds, len(sent), len(back), handing + time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cores", type=int, default=1000)
    parser.add_argument("--overhead", type=float, default=0.0, help="of an engine, s per task")
    parser.add_argument("--solves", type=int, default=10**6)
    given = parser.parse_args()
    head = "part                          games   s     per core-hour  bytes out  bytes back  "
    print(head + "handing out, ms  cores kept busy")
    for name, knobs in GAMES.items():
        games = mm.tasks(name, n=TASKS, spread=0.02, seed=0, **knobs)
        terms = Terms(find_solver(usual_solver(games[0]), games[0], "compare", 1e-2), 1e-2, None)
        for meta, some in (("none", games[:1]), ("robust", games)):
            part = Part(0, list(some), find_meta(meta))
            show(f"{name}, {meta}", len(some), measure(_run_part, (0, part, terms)), given)
    options = {"bonus": "bernstein", "coefficient": 0.5, "reward_range": (0.0, 1.0)}
    tiers = mm.tier_tasks("permuted", 2)
    run = TierPart((0, 0, "robust"), tiers, find_agent("robust", ""), 100_000, options)
    show("tiered permuted, robust", 1, measure(run_there, (0, run)), given)


def show(name: str, games: int, found: tuple[float, int, int, float], given: Any) -> None:
    seconds, out, back, handing = found
    busy = seconds / (handing + given.overhead)
    print(
        f"{name:28} {games:>6} {seconds:>7.3f} {3600 / seconds * games:>11,.0f} {out:>12,} "
        f"{back:>11,} {1e3 * handing:>14.2f} {busy:>15,.0f}"
    )
    cores = min(given.cores, busy)
    hours = given.solves / games * seconds / cores / 3600
    gib = given.solves / games * (out + back) / 2**30
    print(f"    {given.solves:,} on {cores:,.0f} cores: {hours:.2f} hours, {gib:,.0f} GiB moved")


if __name__ == "__main__":
    main()
