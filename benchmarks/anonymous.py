"""Safe distancing from its counts and from its joint actions: one Nash gap, side by side.

    python benchmarks/anonymous.py

Both gaps are exact. The game from its joint actions needs 4^N rows in either state, and is left out
where they would not fit.
"""

import time

import numpy as np

import metamarl as mm
from metamarl.algorithms.evaluator import Evaluator


def timed(game, flat):
    """Gap, and seconds of the fastest of five."""
    judge = Evaluator(game)
    gap, taken = judge.nash_gap(flat), []
    for _ in range(5):
        flat = flat.copy()
        flat[:4] = flat[:4][::-1]  # another policy, so that nothing is remembered
        began = time.perf_counter()
        judge.nash_gap(flat)
        taken.append(time.perf_counter() - began)
    return gap, min(taken)


def main():
    print(
        f"{'agents':>6} {'gap':>10} {'rows':>9} {'counts, ms':>11} {'joint, ms':>10} {'ratio':>6}"
    )
    for agents in (2, 4, 6, 8, 16, 32, 50):
        game = mm.make("safe-distancing", agents=agents)
        rng = np.random.default_rng(0)
        policy = mm.JointPolicy([rng.dirichlet(np.ones(4), 2) for _ in range(agents)])
        flat = policy.flat(game)
        gap, counted = timed(game, flat)
        rows = game.aggregate.table.n_rows
        line = f"{agents:>6} {gap:>10.3f} {rows:>9,} {1e3 * counted:>11.2f}"
        if agents <= 8:
            whole, joint = timed(game.expanded(), flat)
            assert abs(whole - gap) <= 1e-8 * gap
            line += f" {1e3 * joint:>10.2f} {joint / counted:>6.1f}"
        print(line)


if __name__ == "__main__":
    main()
