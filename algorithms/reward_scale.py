"""How large the sums of rewards are: by what neural self-play divides rewards."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Scale:
    """Running standard deviation of every player's discounted sums of rewards.

    Args:
        n_players: n.
        discount: γ, for the sums.
    """

    def __init__(self, n_players: int, discount: float) -> None:
        self.discount = discount
        self.count = 0.0
        self.total, self.squares = np.zeros(n_players), np.zeros(n_players)

    def update(self, rewards: Array, ended: Array, sums: Array) -> Array:
        """Take in `(T, N, n)` rewards and ends, after `(N, n)` sums; return the sums at the end."""
        for reward, end in zip(rewards, ended, strict=True):
            sums = self.discount * sums + reward
            self.count += len(sums)
            self.total += sums.sum(0)
            self.squares += (sums**2).sum(0)
            sums = np.where(end, 0.0, sums)
        return sums

    def now(self) -> Array:
        """`(n,)` the scales; 1 for a player without rewards so far."""
        if not self.count:
            return np.ones(len(self.total))
        variance = self.squares / self.count - (self.total / self.count) ** 2
        return np.sqrt(np.where(variance > 1e-12 * self.squares / self.count, variance, 1.0))
