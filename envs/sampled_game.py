r"""A Markov game that was estimated from draws.

The estimate is the maximum-likelihood one: probabilities are frequencies and rewards are means. An
outcome that was never drawn does not exist in it.

What the draws show is kept in two halves, the even draws of a row and the odd ones: an answer that
was fitted to one half can then be judged by the other (`metamarl.algorithms.value_width`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from metamarl.envs.game import MarkovGame
from metamarl.envs.table import build_table


@dataclass(frozen=True, eq=False, kw_only=True)
class Drawn:
    """The draws as arrays, in the order of the table: R rows, K (row, next state) entries."""

    legal: tuple[NDArray[np.bool_], ...]
    indptr: NDArray[np.int64]
    """`(R + 1,)` first entry of every row."""
    indices: NDArray[np.int64]
    """`(K,)` next states, rising along a row."""
    hits: NDArray[np.float64]
    """`(2, K)` even and odd draws that led there."""
    pay: NDArray[np.float64]
    """`(3, n, K)` sums of their rewards, even and odd, and of the squares of all."""
    starts: NDArray[np.int64]
    """`(2, S)` first states, even and odd draws."""
    certain: NDArray[np.bool_]
    """`(R,)` rows that were drawn once because they are not random."""


class SampledGame(MarkovGame):
    """A Markov game that was estimated from draws, and knows them.

    `mm.solve` says how far its value may be from that of the environment (`solution.width`); a gap
    is that in the estimated game.

    Attributes:
        drawn: the draws, as arrays.
        draws: the `Draws` they come from, and more may; gone from copies made by `pickle`.
        again: estimates the game anew, from all that has been drawn by then.
    """

    drawn: Drawn
    draws: Any = None
    again: Callable[[], "SampledGame"]

    @classmethod
    def of(
        cls, drawn: Drawn, horizon: int | None, discount: float, names: dict[str, Any]
    ) -> "SampledGame":
        """The game that fits the draws best."""
        game = _fit(cls, drawn, np.ones(2), horizon, discount, names)
        assert isinstance(game, SampledGame)
        game.drawn = drawn
        return game

    @property
    def counts(self) -> NDArray[np.int64]:
        """`(R,)` how often every row of the table was drawn."""
        return np.add.reduceat(self.drawn.hits.sum(0), self.drawn.indptr[:-1]).astype(np.int64)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "draws": None, "again": None}

    def halves(self) -> tuple[MarkovGame, MarkovGame]:
        """The games estimated from the even draws alone, and from the odd ones.

        A row without a draw in one half is estimated from both.
        """
        one, two = (
            _fit(MarkovGame, self.drawn, np.eye(2)[k], self.horizon, self.discount, {})
            for k in range(2)
        )
        return one, two


def _fit(
    kind: type[MarkovGame],
    drawn: Drawn,
    halves: NDArray[np.float64],
    horizon: int | None,
    discount: float,
    names: dict[str, Any],
) -> MarkovGame:
    """The game estimated from the halves that are marked with 1."""
    sizes = np.diff(drawn.indptr)
    starts = halves @ drawn.starts
    used = np.add.reduceat(halves @ drawn.hits, drawn.indptr[:-1]) > 0
    weights = np.where(np.repeat(used, sizes), halves[:, None], 1.0)
    hits = (weights * drawn.hits).sum(0)
    total = np.add.reduceat(hits, drawn.indptr[:-1])
    pay = np.add.reduceat((weights[:, None] * drawn.pay[:2]).sum(0), drawn.indptr[:-1], axis=1)
    matrix = sp.csr_array(
        (hits / np.repeat(total, sizes), drawn.indices.copy(), drawn.indptr.copy()),
        shape=(len(sizes), len(drawn.legal[0])),  # copies: a table drops what is 0
    )
    if not starts.any():
        starts = drawn.starts.sum(0)
    table = build_table(drawn.legal, pay / total, matrix)
    return kind.from_table(table, starts / starts.sum(), horizon, discount, **names)
