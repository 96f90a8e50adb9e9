"""How far apart a player's best and worst values are: what gaps are measured by."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from metamarl.envs.checks import check_kind
from metamarl.envs.game import MarkovGame

ACCURACY = 1e-9
MOST_SWEEPS = 1_000_000


def value_span(game: MarkovGame) -> float:
    """The largest value minus the smallest one of a player at `initial`, if all played for that.

    The largest over the players. A Nash gap divided by it is a part of what is at stake, whatever
    the rewards' units and the game's length: in zero-sum games, whose gap adds up two players'
    gains, from 0 to 2 and elsewhere from 0 to 1.
    """
    check_kind(game, MarkovGame, "game", "value_span", "a MarkovGame")
    spans = []
    for reward in game.table.reward:
        best = _best(game, reward) @ game.initial
        spans.append(float(best + _best(game, -reward) @ game.initial))
    return max(spans)


def _best(game: MarkovGame, reward: NDArray[np.float64]) -> NDArray[np.float64]:
    """`(S,)` values where all players together choose what is best for `reward`."""
    table, count = game.table, game.table.n_rows
    values = np.zeros(game.n_states)
    steps = range(game.horizon - 1, -1, -1) if game.horizon is not None else range(MOST_SWEEPS)
    links: sp.csr_array = table.successors()
    for step in steps:
        if table.transition_stride:
            links = table.successors(step)
        first = step * table.reward_stride if game.horizon is not None else 0
        pay = reward[first : first + count]
        worth = pay + game.discount * (links @ values)
        following = np.maximum.reduceat(worth, table.rows[:-1])
        change = np.abs(following - values).max()
        values = following
        if game.horizon is None and change <= ACCURACY * (1.0 - game.discount or 1.0):
            break
    return values
