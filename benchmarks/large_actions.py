"""Matrix games and Markov games with many actions: regret matching against the simplex.

    python benchmarks/large_actions.py

Both solvers on the same games, alternating, in one run; each to a duality gap of `relative` times
the largest reward times the horizon. Random games: rewards U[0, 1] or normal, next states
Dirichlet. Seconds are those of `mm.solve`, compiled, with its certificate; medians over games.
"""

import argparse

import numpy as np

import metamarl as mm

SIZES = (16, 32, 64, 96, 128, 192, 256)


def draw(actions: int, states: int, horizon: int, seed: int, *, normal: bool) -> mm.MarkovGame:
    rng = np.random.default_rng(seed)
    shape = (states, actions, actions)
    reward = rng.standard_normal(shape) if normal else rng.random(shape)
    moves = rng.dirichlet(np.full(states, 0.2), shape)
    return mm.MarkovGame(moves, np.stack([reward, -reward]), horizon=horizon)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--games", type=int, default=5)
    games = parser.parse_args().games
    print("rewards  actions  relative gap  exact, ms  regret matching, ms  ratio")
    for normal in (False, True):
        for actions in SIZES:
            for relative in (1e-3, 1e-4, 1e-5):
                taken: dict[str, list[float]] = {"exact": [], "regret-matching": []}
                for seed in range(-1, games):  # the first one compiles
                    game = draw(actions, 2, 2, max(seed, 0), normal=normal)
                    tol = relative * 2 * float(np.abs(game.table.reward).max())
                    for name, seconds in taken.items():
                        solution = mm.solve(game, name, tol=tol)
                        assert solution.gap <= tol
                        if seed >= 0:
                            seconds.append(1e3 * solution.seconds)
                one, other = (float(np.median(seconds)) for seconds in taken.values())
                print(
                    f"{'normal' if normal else 'uniform':7} {actions:>8} {relative:>13g} "
                    f"{one:>10.2f} {other:>20.2f} {one / other:>6.2f}"
                )


if __name__ == "__main__":
    main()
