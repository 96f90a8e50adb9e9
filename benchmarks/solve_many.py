"""Many small zero-sum games at once (`mm.solve_many`) against a loop of `mm.solve`.

Random games, with a horizon (S = 8, 4 x 5 actions, H = 5) or discounted (S = 5, 3 x 3, γ = 0.8),
by optimistic mirror descent to gap 0.05. Every game is solved by `solve` in turn, on one core, and
by `solve_many` on the CPU (all of torch's threads) and on a CUDA device where there is one; in
turns, the fastest of `--repeat`. The iterations must be the same, and the gaps are exact.

    python benchmarks/solve_many.py [--games 1000] [--repeat 2]
"""

import argparse
import time

import torch

import metamarl as mm
from metamarl.algorithms._batch_shapes import bytes_per_game

FAMILIES = {
    "horizon 5": {"states": 8, "actions": (4, 5)},
    "discount 0.8": {"states": 5, "actions": (3, 3), "horizon": None, "discount": 0.8},
}
TOL = 0.05


def timed(solve) -> tuple[float, list[mm.Solution]]:
    began = time.perf_counter()
    found = solve()
    return time.perf_counter() - began, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=2)
    options = parser.parse_args()
    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    print(f"{options.games} games; torch {torch.__version__}, {torch.get_num_threads()} threads")
    print("no CUDA device here" if len(devices) == 1 else torch.cuda.get_device_name())
    for name, sizes in FAMILIES.items():
        games = mm.tasks("random", options.games, 0.3, 0, **sizes)
        ways = {"loop of solve": lambda games=games: [mm.solve(g, "omd", tol=TOL) for g in games]}
        for device in devices:
            ways[f"solve_many, {device}"] = lambda games=games, device=device: mm.solve_many(
                games, tol=TOL, device=device
            )
        for way in ways.values():  # compiles
            way(games[:2])
        seconds, iterations = {}, {}
        for _ in range(options.repeat):
            for label, way in ways.items():
                taken, found = timed(way)
                assert all(solution.gap <= TOL for solution in found)
                seconds[label] = min(taken, seconds.get(label, taken))
                iterations[label] = sum(solution.iterations for solution in found)
        print(f"\n{name}: about {bytes_per_game(games[0]) / 1e3:.0f} kB per game in a batch")
        for label in ways:
            ratio = seconds["loop of solve"] / seconds[label]
            print(
                f"  {label:16} {seconds[label]:8.2f} s   {ratio:6.2f} times as fast as the loop   "
                f"{iterations[label]:,} iterations"
            )


if __name__ == "__main__":
    main()
