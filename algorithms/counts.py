"""Anonymous games seen by one player: the others as one opponent, who plays their counts."""

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms import _counts
from metamarl.envs.anonymous import AnonymousGame


class OthersCounts:
    """Flat policies of the aggregate game from those of the anonymous game (`envs.anonymous`)."""

    def __init__(self, game: AnonymousGame) -> None:
        n, N, m = game.n_players, len(game.nodes.states), game.n_actions[0]
        on_others = game.vectors[game.joined[:, 0], 1:].sum(1)  # how many are not on action 0
        self._sizes = np.searchsorted(on_others, np.arange(n), side="right")
        self._joined, self._m = game.joined, m
        self._known = np.zeros((n, N, len(game.joined)))
        self._seen = np.zeros(0)

    def flat(self, flat: NDArray[np.float64], player: int) -> NDArray[np.float64]:
        """Flat policy of the aggregate game: the player's own part, and what the others' make."""
        if not np.array_equal(flat, self._seen):
            _counts.others(flat, self._joined, self._sizes, self._m, self._known)
            self._seen = flat.copy()
        own = self._known.shape[1] * self._m
        return np.concatenate(
            [flat[player * own : (player + 1) * own], self._known[player].ravel()]
        )
