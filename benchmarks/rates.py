"""Gap times T of optimistic mirror descent on random games: flat with optimism, growing without.

Fixed step sizes, last-stage averages, both regularizers, mean over three games; and the output
rules side by side. Rewards U[0, 1], next states Dirichlet(0.2). Then how far the theory's estimate
is above the smallest gap so far, at its nearest and at T = 10,000, over the same games.

    python benchmarks/rates.py
"""

import numpy as np

import metamarl as mm

TIMES = (300, 1_000, 3_000, 10_000, 30_000)
SIZES = ((2, 2, 2, 2), (5, 3, 3, 3), (5, 5, 5, 5))


def gaps(solver: mm.OptimisticMirrorDescent, size: tuple[int, int, int, int], seed: int) -> list:
    """Gap of the last complete stage's output at each of TIMES."""
    S, A, B, H = size
    game = mm.make("random", states=S, actions=(A, B), horizon=H, seed=seed)
    trace = mm.solve(game, solver, tol=1e-12, max_iterations=TIMES[-1], throw=False).trace
    ends, length, end = [], H, 0
    while end + length <= TIMES[-1]:
        end, length = end + length, length * (H + 1) // H
        ends.append(end)
    at_end = dict(zip(trace.iteration.tolist(), trace.gap.tolist(), strict=True))
    return [at_end[max(e for e in ends if e <= T)] for T in TIMES]


def looseness(solver: mm.OptimisticMirrorDescent, size: tuple[int, int, int, int]) -> str:
    """Estimate over smallest gap so far: the least on the way, and at the end; over three games."""
    S, A, B, H = size
    least, last = [], []
    for seed in range(3):
        game = mm.make("random", states=S, actions=(A, B), horizon=H, seed=seed)
        solution = mm.solve(game, solver, tol=1e-12, max_iterations=10_000, throw=False)
        ratio = mm.convergence_bound(game, solution)(solution.trace.iteration)
        ratio /= np.minimum.accumulate(solution.trace.gap)
        least.append(ratio.min())
        last.append(ratio[-1])
    return f"{min(least):.2f}, {np.mean(last):.2f}"


def main() -> None:
    for size in SIZES:
        H = size[-1]
        print(f"\nS, A, B, H = {size}: gap x T at T = {', '.join(f'{T:,}' for T in TIMES)}")
        for name, options in {
            "entropy, theory": {"step_size": "theory"},
            "entropy, 1/H": {"step_size": 1 / H},
            "entropy, 4/H": {"step_size": 4 / H},
            "entropy, adaptive": {},
            "entropy, 1/H, chained": {"step_size": 1 / H, "output": "chained"},
            "entropy, 1/H, average": {"step_size": 1 / H, "output": "average"},
            "entropy, 1/H, no optimism": {"step_size": 1 / H, "optimism": False},
            "euclidean, theory": {"step_size": "theory", "regularizer": "euclidean"},
            "euclidean, adaptive": {"regularizer": "euclidean"},
        }.items():
            solver = mm.OptimisticMirrorDescent(**options)
            mean = np.mean([gaps(solver, size, seed) for seed in range(3)], axis=0)
            print(
                f"  {name:26}", " ".join(f"{g * T:9.2f}" for g, T in zip(mean, TIMES, strict=True))
            )
        for name, options in {
            "entropy": {},
            "entropy, chained": {"output": "chained"},
            "euclidean": {"regularizer": "euclidean"},
        }.items():
            solver = mm.OptimisticMirrorDescent(step_size="theory", **options)
            print(f"  estimate over gap, theory, {name}: {looseness(solver, size)}")


if __name__ == "__main__":
    main()
