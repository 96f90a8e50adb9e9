"""Counts: how many of n players are on each of m actions."""

from math import comb

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.checks import check_integer, check_memory


def check_counts(players: int, actions: int, states: int, what: str) -> None:
    """Raise ValueError where a game with all counts in every state would not fit into memory."""
    counts = float(min(comb(players + actions - 1, min(actions - 1, players)), 10**30))
    check_memory(counts * actions * (60.0 * min(states, 10**9) + 8.0), what)


def count_vectors(players: int, actions: int) -> NDArray[np.int64]:
    """`(K, m)` all counts of n players on m actions: rows of integers that sum to n.

    In the order of how many are *not* on action 0: (n, 0, …, 0) comes first.
    """
    n = check_integer(players, "players", "count_vectors", 0)
    m = check_integer(actions, "actions", "count_vectors")
    check_counts(n, m, 1, f"The counts of {n} players on {m} actions")
    rest = np.zeros((1, 0), np.int64)  # counts of the later actions, which sum to n or less
    for _ in range(m - 1):
        free = n - rest.sum(1)
        rest = np.repeat(rest, free + 1, axis=0)
        mine = np.arange(len(rest)) - np.repeat(np.cumsum(free + 1) - free - 1, free + 1)
        rest = np.column_stack([rest, mine])
    rest = rest[np.argsort(rest.sum(1), kind="stable")]
    return np.column_stack([n - rest.sum(1), rest])


def join(vectors: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """`(K', m)` where the counts lie that come from `others` `(K', m)` when a player joins them."""
    place = {row.tobytes(): k for k, row in enumerate(vectors)}
    steps = np.eye(others.shape[1], dtype=np.int64)
    return np.array([[place[row.tobytes()] for row in others + step] for step in steps]).T
