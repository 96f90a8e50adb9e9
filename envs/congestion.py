"""Congestion: players choose one of several facilities, and what counts is how many chose each."""

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.checks import check_memory


def check_size(players: int, facilities: int, states: int, what: str) -> None:
    """Raise ValueError where a game with all joint choices in every state would not fit."""
    few = min(players, 80)
    rows = min(float(facilities), 1e3) ** few
    check_memory(rows * (states * (24.0 * few + 20.0 * states) + 16.0 * facilities), what)


def joint_choices(
    players: int, facilities: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """All m^n joint choices, player 0 slowest.

    Returns:
        `(n, m^n)` what every player chose; `(m, m^n)` how many players chose every facility; and
        `(n, m^n)` how many chose the same one as the player, itself included.
    """
    total = facilities**players
    stride = facilities ** np.arange(players)[::-1, None]
    choices = np.arange(total) // stride % facilities
    loads = np.stack([(choices == k).sum(0) for k in range(facilities)])
    return choices, loads, loads[choices, np.arange(total)]
