"""Values, action values and visits under a policy, as independent policy gradients need them."""

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms import _policy_gradient as kernels
from metamarl.algorithms.backward import BackwardPass
from metamarl.algorithms.counts import OthersCounts
from metamarl.algorithms.evaluator import expected_duration
from metamarl.envs.anonymous import AnonymousGame
from metamarl.envs.clock import at_rest
from metamarl.envs.game import MarkovGame

ACCURACY = 1e-11  # of values of cyclic games, relative


class ActionValues:
    """Evaluates many flat policies of one game; values start from the last ones.

    Args:
        game: the game.
        m: whose values: player 0's alone (where interests are identical), or all n players'.
    """

    def __init__(self, game: MarkovGame, m: int) -> None:
        table, S = game.table, game.n_states
        self.game, self.m = game, m
        self._pass = BackwardPass(game, kernels.action_values, m)
        self.V = self._pass.values
        """`(m, N)` values under the last policy."""
        self._spare = (np.zeros(S), np.zeros(S))
        if game.nodes.cyclic:
            self._rest = at_rest(table)
            self._duration = expected_duration(game)
            self._accuracy = ACCURACY * float(np.abs(table.reward).max()) * self._duration
            self._pay, self._heads = np.zeros((m, S)), np.zeros(S + 1, np.int64)
            self._seen = np.zeros(S, np.int64)
            self._tails = np.zeros(len(table.indices), np.int32)
            self._weights = np.zeros(len(table.indices))

    def evaluate(
        self, flat: NDArray[np.float64], G: NDArray[np.float64], span: NDArray[np.float64]
    ) -> None:
        """Bring V up to date; write G, laid out like `flat`, and the `(N,)` spans of Q-values."""
        game, table, nodes = self.game, self.game.table, self.game.nodes
        if nodes.cyclic:
            kernels.chain(
                nodes.slots, table.counts, table.rows, table.reward, table.indptr, table.indices,
                table.probabilities, flat, self.m, self._pay, self._heads, self._tails,
                self._weights, self._seen,
            )  # fmt: skip
            kernels.settle(
                self._pay, self._heads, self._tails, self._weights, game.discount,
                self._duration, self._accuracy, self.V,
            )  # fmt: skip
        self._pass(flat, nodes.cyclic, G, span)

    def visits(self, flat: NDArray[np.float64], D: NDArray[np.float64]) -> None:
        """Write D `(N,)`, the expected discounted visits under the policy last evaluated."""
        game, table, nodes = self.game, self.game.table, self.game.nodes
        if nodes.cyclic:
            kernels.settle_visits(
                game.initial, self._rest, self._heads, self._tails, self._weights,
                game.discount, self._duration, D, self._spare[0],
            )  # fmt: skip
        else:
            kernels.visits(
                nodes.states, nodes.groups, nodes.slots, nodes.timed, table.counts, table.rows,
                table.indptr, table.indices, table.probabilities, table.transition_stride,
                game.discount, game.initial, flat, D, *self._spare,
            )  # fmt: skip


class AnonymousActionValues:
    """The same for all players of an anonymous game, from their aggregate games."""

    def __init__(self, game: AnonymousGame) -> None:
        assert game.aggregate is not None
        aggregate, n = game.aggregate, game.n_players
        N = len(aggregate.nodes.states)
        self._inner = ActionValues(aggregate, 1)
        self._others = OthersCounts(game)
        self._gradient = np.zeros(int(aggregate.nodes.slots[1, -1]))
        self._span = np.zeros(N)
        self.V = np.zeros((n, N))
        """`(n, N)` values under the last policy."""

    def evaluate(
        self, flat: NDArray[np.float64], G: NDArray[np.float64], span: NDArray[np.float64]
    ) -> None:
        """As `ActionValues.evaluate`."""
        inner, n = self._inner, len(self.V)
        own = len(flat) // n
        span[:] = 0.0
        for i in range(n):
            inner.V[0] = self.V[i]
            inner.evaluate(self._others.flat(flat, i), self._gradient, self._span)
            self.V[i] = inner.V[0]
            G[i * own : (i + 1) * own] = self._gradient[:own]
            np.maximum(span, self._span, out=span)

    def visits(self, flat: NDArray[np.float64], D: NDArray[np.float64]) -> None:
        """As `ActionValues.visits`; all players see the same."""
        self._inner.visits(self._others.flat(flat, len(self.V) - 1), D)
