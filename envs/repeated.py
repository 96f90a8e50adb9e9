"""Repeated matrix games: the same game of n players, again and again, in a single state.

A Markov policy cannot look back, so what was played before changes nothing: threats and rewards for
past conduct, the matter of folk theorems, are outside of these games.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.checks import check_memory
from metamarl.envs.game import MarkovGame


def repeated_game(
    payoffs: NDArray[np.float64],
    horizon: int | None,
    discount: float,
    *,
    name: str,
    actions: Sequence[Sequence[str]],
    potential: NDArray[np.float64] | None = None,
) -> MarkovGame:
    """The game with one state, stage payoffs `(n, A_1, …, A_n)` and perhaps their potential."""
    return MarkovGame(
        np.ones((1, *payoffs.shape[1:], 1)),
        payoffs[:, None],
        horizon=horizon,
        discount=discount,
        name=name,
        states=["round"],
        actions=actions,
        potential=None if potential is None else potential[None],
    )


def check_size(players: int, name: str) -> None:
    """Raise ValueError where a game of so many players with two actions each would not fit."""
    few = min(players, 80)
    check_memory(2.0**few * (24.0 * few + 60.0), f"{name} of {players}")


def two_choices(players: int) -> NDArray[np.bool_]:
    """`(n, 2, …, 2)` whether every player takes its second action, in every joint action."""
    return np.indices((2,) * players, dtype=np.int8).astype(bool)
