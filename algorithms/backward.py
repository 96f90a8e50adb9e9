"""Passes over the nodes of a game, in parts by several threads where groups of nodes are large."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.threads import WORTH_IT, default_threads, run_parts
from metamarl.envs.game import MarkovGame

PER_ROW, PER_SUCCESSOR = 3.0, 0.5  # nanoseconds, roughly


def node_work(game: MarkovGame) -> NDArray[np.float64]:
    """`(N + 1,)` nanoseconds of a look at the rows of all nodes before each, roughly."""
    table = game.table
    # Of rows that depend on the step, the first ones stand for all.
    work = PER_ROW * np.diff(table.rows) + PER_SUCCESSOR * np.diff(table.indptr[table.rows])
    return np.concatenate([[0.0], np.cumsum(work[game.nodes.states])])


def share_out(work: NDArray[np.float64], begin: int, end: int, threads: int) -> list[int]:
    """Where to cut the nodes from `begin` to `end` into parts of about the same work."""
    if work[end] - work[begin] < WORTH_IT:
        threads = 1
    shares = np.linspace(work[begin], work[end], threads + 1)[1:-1]
    return [begin, *np.searchsorted(work, shares).tolist(), end]


class BackwardPass:
    """Values at all nodes, by a kernel that goes through the groups of nodes from the last on.

    In a game with cycles that is one group, and the values to come are those of the last pass. The
    kernel is called with groups `first` to `last`, nodes `begin` to `end`, the values to come and
    those to write, the arrays of the game, the most joint actions in a state, the most actions of
    one player, and what else is given.

    Args:
        game: the game.
        kernel: what is called.
        functions: how many values there are at a node.
    """

    def __init__(self, game: MarkovGame, kernel: Callable[..., Any], functions: int) -> None:
        nodes, table = game.nodes, game.table
        self.game, self.kernel = game, kernel
        self.values = np.zeros((functions, len(nodes.states)))
        """`(functions, N)` the last ones."""
        self._later = np.zeros((functions, game.n_states))
        sizes = np.diff(table.rows)
        self._arrays = (
            nodes.states, nodes.groups, nodes.slots, nodes.timed, table.counts, table.rows,
            table.reward, table.reward_stride, table.indptr, table.indices, table.probabilities,
            table.transition_stride, game.discount, int(sizes.max()), int(table.counts.max()),
        )  # fmt: skip
        self._plans: dict[int, list[tuple[int, int, list[int]]]] = {}

    def __call__(self, *arguments: Any) -> NDArray[np.float64]:
        """The values at `game.initial`."""
        threads, nodes = default_threads(), self.game.nodes
        if threads not in self._plans:
            self._plans[threads] = self._plan(threads)
        self._later[:] = self.values if nodes.cyclic else 0.0
        for first, last, cuts in self._plans[threads]:
            task = partial(self._part, first, last, arguments)
            run_parts(task, list(pairwise(cuts)))
            if len(cuts) > 2:
                part = slice(*nodes.groups[first : last + 1])
                self._later[:, nodes.states[part]] = self.values[:, part]
        start = slice(None, nodes.groups[1]) if nodes.timed else slice(None)
        return self.values[:, start] @ self.game.initial[nodes.states[start]]

    def _part(self, first: int, last: int, arguments: Any, part: tuple[int, int]) -> None:
        self.kernel(first, last, *part, self._later, self.values, *self._arrays, *arguments)

    def _plan(self, threads: int) -> list[tuple[int, int, list[int]]]:
        """Groups to go through at once, the last first, and how their nodes are shared out."""
        groups: list[int] = self.game.nodes.groups.tolist()
        work = node_work(self.game)
        plan: list[tuple[int, int, list[int]]] = []
        last = len(groups) - 1
        for g in range(last - 1, -1, -1):
            cuts = share_out(work, groups[g], groups[g + 1], threads)
            if len(cuts) > 2:
                if g + 1 < last:
                    plan.append((g + 1, last, [groups[g + 1], groups[last]]))
                plan.append((g, g + 1, cuts))
                last = g
        if last > 0:
            plan.append((0, last, [0, groups[last]]))
        return plan
