"""How far values estimated from draws are off, and how often the stated width covers that.

Random games of 80 states that end by themselves (8 layers, two players with two actions, or one
with four), whose values are known exactly. Every (state, joint action) is drawn as often as the
table says, all alike, or half of that alike and the rest by `refine`.

    python benchmarks/sampled_values.py [--runs 100]
"""

import argparse
import contextlib
from collections.abc import Sequence

import numpy as np

import metamarl as mm
from metamarl.envs.draws import Draws

LAYERS, WIDTH = 8, 10


def layered_game(seed: int, actions: tuple[int, ...]) -> mm.MarkovGame:
    """80 states; every step leads to one of three states of the next layer; the last one pays."""
    rng = np.random.default_rng(seed)
    n_states = LAYERS * WIDTH + 1
    P, R = np.zeros((n_states, *actions, n_states)), np.zeros((n_states, *actions))
    for s in range(n_states - 1):
        for joint in np.ndindex(actions):
            if s >= (LAYERS - 1) * WIDTH:
                P[(s, *joint, -1)] = 1.0
                R[(s, *joint)] = rng.uniform(-1, 1)
            else:
                targets = rng.choice(WIDTH, 3, replace=False) + WIDTH * (s // WIDTH + 1)
                P[(s, *joint, targets)] = rng.dirichlet(np.ones(3))
    P[-1, ..., -1] = 1.0
    rewards = np.stack([R, -R]) if len(actions) == 2 else R[None]
    return mm.MarkovGame(P, rewards, np.eye(n_states)[0])


class Table:
    """A simulator that draws from a game's own rows."""

    def __init__(self, game: mm.MarkovGame) -> None:
        self.game, self.n_actions = game, game.n_actions
        self.table = game.table

    def session(self) -> contextlib.AbstractContextManager[None]:
        """Nothing is needed."""
        return contextlib.nullcontext()

    def first(self, seed: Sequence[int]) -> int:
        """Play starts in state 0."""
        del seed
        return int(self.game.initial.argmax())

    def options(self, state: int) -> list[list[int]]:
        """The legal actions."""
        return [np.flatnonzero(mask[state]).tolist() for mask in self.game.legal]

    def draw(
        self, state: int, joint: tuple[int, ...], seed: Sequence[int]
    ) -> tuple[int, list[float], bool]:
        """One draw of a row."""
        table = self.table
        counts = table.counts[state]
        inside = [int(m[state, :a].sum()) for m, a in zip(table.legal, joint, strict=True)]
        row = int(table.rows[state] + np.ravel_multi_index(inside, counts))
        first, last = table.indptr[row : row + 2]
        chances = table.probabilities[first:last].cumsum()
        drawn = np.random.default_rng(seed).random() * chances[-1]
        target = int(table.indices[first + min(int((chances <= drawn).sum()), len(chances) - 1)])
        return target, table.reward[:, row].tolist(), last - first == 1


def run(seed: int, actions: tuple[int, ...], count: int, adaptive: bool) -> tuple[float, float]:
    """Error of the value, and the stated width."""
    game = layered_game(seed, actions)
    draws = Draws(Table(game), seed)
    draws.draw_starts(1)
    draws.draw_all(count // 2 if adaptive else count)
    found = draws.game()
    if adaptive:
        found = mm.refine(found, count - count // 2)
    solution = mm.solve(found)
    assert solution.width is not None
    return float(solution.value[0] - mm.solve(game).value[0]), float(solution.width[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    runs = parser.parse_args().runs
    print("players | draws per pair | drawn | error (rms) | error (largest) | width | covered")
    for actions in ((2, 2), (4,)):
        for count in (6, 30, 150):
            for adaptive in (False, True):
                found = np.array([run(seed, actions, count, adaptive) for seed in range(runs)])
                error, width = np.abs(found[:, 0]), found[:, 1]
                print(
                    f"{len(actions)} | {count} | {'adaptively' if adaptive else 'alike'} | "
                    f"{np.sqrt((error**2).mean()):.4f} | {error.max():.4f} | {width.mean():.4f} | "
                    f"{(error <= width).mean():.0%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
