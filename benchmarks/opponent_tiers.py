"""Tiers made of Markov games: what learning against other opponents saves against the real one.

The high tier's opponent is at equilibrium; those of three sources are learners whose duality gap
has fallen below `tol`, or play a game with another slip. Regret of the high tier after all
episodes, in the game's rewards, with 95 % intervals over draws of the sources (each with a seed of
its own), and over that without transfer. "slack" is the largest amount by which an optimal value of
a source is above the high tier's, which that agent is told; "violation" by how much it is below.

    python benchmarks/opponent_tiers.py [--draws 5] [--episodes 20000] [--jobs 1]
"""

import argparse

import numpy as np

import metamarl as mm
from metamarl.statistics import mean_interval

STUDIES: dict[str, dict] = {
    "pursuer, learners to 0.1": {"tol": 0.1},
    "pursuer, learners to 0.02": {},
    "pursuer, learners to 0.005": {"tol": 0.005},
    "pursuer, untrained opponents": {"tol": 10.0},
    "evader, learners to 0.02": {"player": 1},
    "pursuer, other slip": {"spread": 0.05},
    "random, learners to 0.02": {"name": "random", "states": 3, "actions": (3, 3)},
    "stopping, 6 of its steps": {"name": "stopping", "steps": 6},
}


def study(title: str, knobs: dict, draws: int, episodes: int, jobs: int) -> None:
    regrets: dict[str, list[float]] = {}
    slack, violation, covered = [], [], []
    for draw in range(draws):
        tiers = mm.opponent_tiers(seed=draw, **knobs)
        span = tiers.reward_range
        found = mm.diagnose_tiers(*tiers, reward_range=span)
        told = mm.RobustTransfer(slack=found.excess)
        slack.append(found.excess)
        violation.append(found.violation.max())
        covered.append(mm.diagnose_tiers(*tiers, slack=found.excess, reward_range=span).covered)
        agents = {"none": "none", "naive": "naive", "robust": "robust", "robust, slack": told}
        runs = mm.compare_tiers(
            tiers, list(agents.values()), episodes, [draw], jobs, reward_range=span
        ).runs
        for name, run in zip(agents, runs.values(), strict=True):
            regrets.setdefault(name, []).append(run.regret_at([episodes])[-1, 0])
    print(
        f"{title}: slack {np.mean(slack):.3g}, violation {np.mean(violation):.3g}, "
        f"with the slack {np.mean(covered):.0%} of all pairs transferable"
    )
    for name, found in regrets.items():
        ratios = np.array(found) / np.array(regrets["none"])
        regret, ratio = f"{mean_interval(found):.1f}", f"{mean_interval(ratios.tolist()):.2f}"
        print(f"  {name:14} {regret:24} {ratio}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    for title, knobs in STUDIES.items():
        study(title, knobs, options.draws, options.episodes, options.jobs)


if __name__ == "__main__":
    main()
