"""The duality gap of a zero-sum game without cycles, in one pass over its transitions."""

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms import _mutual_values as kernels
from metamarl.algorithms.threads import WORTH_IT, default_threads, run_parts
from metamarl.envs.game import MarkovGame

PER_SUCCESSOR = 0.5  # nanoseconds, at least: threads begin to pay at four times `WORTH_IT` of them


class MutualResponses:
    """Values of both players' best responses to each other's part of a flat policy."""

    def __init__(self, game: MarkovGame) -> None:
        self.game = game
        self.values = np.zeros((2, len(game.nodes.states)))
        """`(2, N)` the last ones."""
        self._later = np.zeros((2, game.n_states))
        self._own = np.zeros(int(game.table.counts.max()))
        steps = game.horizon or 1
        share = len(game.table.indices) / (steps if game.table.transition_stride else 1)
        self._work = (
            PER_SUCCESSOR * share * (1.0 if game.nodes.timed else 1.0 / game.nodes.n_groups)
        )

    def __call__(self, flat: NDArray[np.float64]) -> float:
        """The gap at `game.initial`."""
        nodes, table = self.game.nodes, self.game.table
        arrays = (
            nodes.states, nodes.slots, table.counts, table.rows, table.reward, table.reward_stride,
            table.indptr, table.indices, table.probabilities, table.transition_stride,
            self.game.discount, flat, self._later, self.values,
        )  # fmt: skip
        self._later[:] = 0.0
        threads = default_threads() if self._work >= WORTH_IT else 1
        if threads == 1:
            kernels.respond_everywhere(nodes.groups, nodes.timed, *arrays, self._own)
        else:
            for g in range(nodes.n_groups - 1, -1, -1):
                begin, end = nodes.groups[g : g + 2].tolist()
                cuts = np.linspace(begin, end, threads + 1).astype(int).tolist()
                task = partial(self._part, g if nodes.timed else 0, arrays)
                run_parts(task, list(pairwise(cuts)))
                kernels.keep(begin, end, nodes.states, self.values, self._later)
        start = slice(None, nodes.groups[1]) if nodes.timed else slice(None)
        initial = self.game.initial[nodes.states[start]]
        return float((self.values[:, start] @ initial).sum())

    def _part(self, step: int, arrays: Any, part: tuple[int, int]) -> None:
        kernels.respond(*part, step, *arrays, np.empty_like(self._own))
