r"""A closed cycle of policies, to show that a game has no potential (see `potential`).

From a random policy x of all players to another one, y, the players moving in order, and back again
in the same order: 2n policies, between neighbours of which one player moves. Its gains add up to 0
where the game has a potential.
"""

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from metamarl.envs.table import Table

if TYPE_CHECKING:
    from metamarl.envs.game import MarkovGame

MOST_WORK = 1e8  # rows and successors touched, steps and players together: seconds
MOST_SWEEPS = 20_000
ACCURACY = 1e-9  # of values, relative


def cycle_of_policies(game: "MarkovGame") -> float | None:
    """Sum of the movers' gains round a random cycle, relative to the largest value on the way.

    None where the game is too large, or its values do not settle.
    """
    n = game.n_players
    rows = float(game.n_states) * float(max(game.n_actions)) ** min(n, 80)
    if game.aggregate is not None and rows * n * n > MOST_WORK:
        return None
    table = game.table
    if 2.0 * n * n * (game.horizon or 1) * (table.n_rows + len(table.indices)) > MOST_WORK:
        return None
    owners = _owners(table)
    x, y = (_random(game, np.random.default_rng(seed)) for seed in (0, 1))
    total, largest, mixed = 0.0, 0.0, list(x)
    before = _values(game, mixed, owners)
    for target in (y, x):
        for i in range(n):
            mixed[i] = target[i]
            after = _values(game, mixed, owners)
            if after is None or before is None:
                return None
            total += float(after[i] - before[i])
            largest = max(largest, float(np.abs(after).max()))
            before = after
    return total / (largest or 1.0)


def _owners(table: Table) -> list[NDArray[np.int64]]:
    """For every player, `(R,)` where its action of a row lies among its actions of all states."""
    counts = np.diff(table.rows)
    inside = np.arange(table.n_rows) - np.repeat(table.rows[:-1], counts)
    found = []
    for i in range(table.counts.shape[1]):
        own = table.counts[:, i]
        first = np.cumsum(own) - own
        inner = np.repeat(table.counts[:, i + 1 :].prod(1), counts)
        found.append(np.repeat(first, counts) + inside // inner % np.repeat(own, counts))
    return found


def _random(game: "MarkovGame", rng: np.random.Generator) -> list[NDArray[np.float64]]:
    """For every player `(H or 1, ΣA_i)` probabilities, uniform on the simplices."""
    policies = []
    for own in game.table.counts.T:
        weight = rng.exponential(size=(game.horizon or 1, int(own.sum())))
        first = np.cumsum(own) - own
        policies.append(weight / np.repeat(np.add.reduceat(weight, first, axis=1), own, axis=1))
    return policies


def _values(
    game: "MarkovGame", policies: list[NDArray[np.float64]], owners: list[NDArray[np.int64]]
) -> NDArray[np.float64] | None:
    """`(n,)` values of all players from the start."""
    table = game.table
    V = np.zeros((table.n_states, game.n_players))
    for step in reversed(range(game.horizon or 1)):
        weight = np.ones(table.n_rows)
        for own, where in zip(policies, owners, strict=True):
            weight *= own[step][where]
        first = step * table.reward_stride
        reward = table.reward[:, first : first + table.n_rows].T
        moves = table.successors(step)
        if game.horizon is None:
            settled = _settle(game, weight, reward, moves)
            return None if settled is None else game.initial @ settled
        Q = weight[:, None] * (reward + game.discount * (moves @ V))
        V = np.add.reduceat(Q, table.rows[:-1], axis=0)
    return game.initial @ V


def _settle(
    game: "MarkovGame", weight: NDArray, reward: NDArray, moves: sp.csr_array
) -> NDArray[np.float64] | None:
    """Values of the Markov chain under a policy, by iteration; None where that takes too long."""
    table = game.table
    mean = sp.csr_array(
        (weight, np.arange(table.n_rows), table.rows), shape=(table.n_states, table.n_rows)
    )
    pay, chain = mean @ reward, game.discount * (mean @ moves)
    V, last = np.zeros_like(pay), np.inf
    for _ in range(MOST_SWEEPS):
        following = pay + chain @ V
        change = float(np.abs(following - V).max())
        V = following
        shrinks = min(change / last, 1.0) if last > 0 else 0.0
        if change * max(1.0, shrinks / max(1.0 - shrinks, 1e-12)) <= ACCURACY * np.abs(V).max():
            return V
        last = change
    return None
