"""What V-learning's defaults are worth: episodes to a gap, the published form, and one change each.

Related games of soccer, pursuit (3 x 3, six moves), random games and weighted rock-paper-scissors
(six rounds), two of each, from the uniform policy; geometric means of the episodes to a coarse and
to a fine gap. A ">" marks settings in which some game did not reach it within the limit.

    python benchmarks/v_learning.py [--limit 700000] [--only default published ...]
"""

import argparse
from dataclasses import replace

import numpy as np

import metamarl as mm

GAMES = {  # games, and the gaps to reach
    "soccer": (mm.tasks("soccer", 2, 0.1), (0.3, 0.15)),
    "pursuit": (mm.tasks("pursuit", 2, 0.1, size=3, horizon=6), (0.2, 0.07)),
    "random": (mm.tasks("random", 2, 0.5), (0.2, 0.1)),
    "rps": (mm.tasks("rps", 2, 0.5, rounds=6), (0.6, 0.2)),
}
DEFAULT = mm.VLearning(resolution=0.1)
SETTINGS = {
    "default": DEFAULT,
    "published": replace(mm.VLearning.published(), resolution=0.1),
    "published, bonus 0.1": replace(mm.VLearning.published(0.1), resolution=0.1),
    "step size 'theory'": replace(DEFAULT, step_size="theory", implicit=0.5, factor=1.0),
    "growth 'theory'": replace(DEFAULT, growth="theory"),
    "first values 'optimistic'": replace(DEFAULT, first_values="optimistic"),
    "exploration 0": replace(DEFAULT, exploration=0.0),
    "exploration 1": replace(DEFAULT, exploration=1.0),
    "implicit 0": replace(DEFAULT, implicit=0.0),
    "implicit 0.05": replace(DEFAULT, implicit=0.05),
    "factor 0.35": replace(DEFAULT, factor=0.35),
    "factor 1.4": replace(DEFAULT, factor=1.4),
    "bonus 0.1": replace(DEFAULT, first_values="optimistic", bonus=0.1),
}


def episodes(game: mm.MarkovGame, options: mm.VLearning, tol: float, limit: int) -> tuple:
    """Episodes to both gaps, from one solve: that to the fine one passes the coarse one."""
    solution = mm.solve(game, options, tol=tol, max_iterations=limit, throw=False)
    return solution.trace.iteration, solution.trace.gap


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=700_000)
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    arguments = parser.parse_args()
    print(f"{'':26}" + "".join(f"{name:>22}" for name in GAMES))
    for name in arguments.only:
        cells = []
        for games, gaps in GAMES.values():
            words = []
            traces = [episodes(g, SETTINGS[name], gaps[1], arguments.limit) for g in games]
            for gap in gaps:
                reached = [(at[found <= gap], at) for at, found in traces]
                counts = [hit[0] if len(hit) else at[-1] for hit, at in reached]
                missed = any(not len(hit) for hit, _ in reached)
                words.append(f"{'>' * missed}{np.exp(np.log(counts).mean()):,.0f}")
            cells.append(" ".join(f"{word:>10}" for word in words))
        print(f"{name:26}" + "".join(f"{cell:>22}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
