"""Evaluates many policies of one game: workspaces, warm starts, error bounds."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from metamarl.algorithms import _mutual_values, _swap_values, _values
from metamarl.algorithms.backward import BackwardPass
from metamarl.algorithms.counts import OthersCounts
from metamarl.envs.anonymous import AnonymousGame
from metamarl.envs.clock import at_rest
from metamarl.envs.game import MarkovGame

EXACT = 1e-13  # relative accuracy of iterated values
NOTHING = np.zeros(0, np.int64)
FOREVER = 2**62
LONG = 200.0  # durations above this are solved for directly: sweeps would take too many


def expected_duration(game: MarkovGame) -> float:
    """Bound the expected discounted number of steps of a game without a horizon, however played."""
    if game.discount < 1:
        return 1.0 / (1.0 - game.discount)
    table = game.compact
    moving = np.ones(table.n_rows)
    moving[np.repeat(at_rest(table), np.diff(table.rows))] = 0.0
    values, choice = np.zeros(game.n_states), np.zeros(game.n_states, np.int64)
    # A residual of δ < 1 leaves at least (1 - δ) of the duration: the bound below holds.
    slack = 1e-6
    _values.iterate(
        table.rows, moving, table.indptr, table.indices, table.probabilities,
        1.0, 1.0, slack, 100, FOREVER, values, choice,
    )  # fmt: skip
    return float(values.max()) / (1.0 - slack)


class Evaluator:
    """Evaluates many flat policies of one game; iterated values start from the last ones.

    Args:
        game: the game.
        accuracy: absolute error allowed to values of cyclic games; rounding error if left out.
            Gaps are bounded from above whatever it is.
    """

    def __init__(self, game: MarkovGame, accuracy: float | None = None) -> None:
        self.game = game
        self._others = OthersCounts(game) if isinstance(game, AnonymousGame) else None
        self._aggregate = None if game.aggregate is None else Evaluator(game.aggregate, accuracy)
        self._joint: Evaluator | None = None
        self._value = self._gains = self._both = None
        if not game.nodes.cyclic and game.aggregate is None:
            self._value = BackwardPass(game, _values.value, 1)
            if game.kind == "zero-sum":
                self._both = BackwardPass(game, _mutual_values.respond, 2)
            else:
                self._gains = BackwardPass(game, _values.gains, 2 * game.n_players)
        self._memories: dict[int, dict[tuple[int, bool | str], NDArray[np.float64]]] = {}
        self._wanted = accuracy
        self.choice = np.zeros(len(game.nodes.states), np.int64)
        """`(N,)` the last best response: positions among the player's legal actions."""
        self.values = np.zeros(len(game.nodes.states))
        """`(N,)` the last values."""
        self.error = 0.0
        """Bound of their error."""
        self._duration = self._accuracy = 0.0
        if game.nodes.cyclic and game.aggregate is None:
            table = game.table
            self._duration = expected_duration(game)
            self._moving = ~at_rest(table)
            scale = float(np.abs(table.reward).max()) * self._duration
            self._accuracy = EXACT * scale if accuracy is None else max(accuracy, EXACT * scale)
            entries = int(table.counts.max(1).sum())
            self._pay = np.empty(entries)
            self._first = np.empty(game.n_states + 1, np.int64)
            self._heads = np.empty(entries + 1, np.int64)
            self._tails = np.empty(len(table.indices), np.int32)
            self._weights = np.empty(len(table.indices))
            self._last: dict[tuple[int, bool | str], NDArray[np.float64]] = {}

    def value(
        self, flat: NDArray[np.float64], player: int, *, respond: bool, correlated: bool = False
    ) -> float:
        """Player's value at `game.initial`, of its best response where `respond`.

        `flat` is a flat joint policy where `correlated`: its best response then is to the others'
        part of it, without seeing what they are told.
        """
        game = self.game
        if self._others is not None:
            return self._anonymous_value(flat, player, respond, correlated)
        joints = game.nodes.joints if correlated else NOTHING
        if self._value is None:
            self._iterate(flat, player, respond, joints)
        else:
            self._value(flat, joints, player, respond, self.choice)
            self.values = self._value.values[0]
        return self._at_start()

    def _anonymous_value(
        self, flat: NDArray[np.float64], player: int, respond: bool, correlated: bool
    ) -> float:
        """Player's value in its aggregate game; of joint policies, with all joint actions."""
        if correlated:
            judge = self._whole()
            value = judge.value(flat, player, respond=respond, correlated=True)
        else:
            assert self._others is not None
            assert self._aggregate is not None
            judge = self._aggregate
            judge._last = self._memories.setdefault(player, {})
            value = judge.value(self._others.flat(flat, player), 0, respond=respond)
        self.values, self.choice, self.error = judge.values, judge.choice, judge.error
        return value

    def _whole(self) -> "Evaluator":
        if self._joint is None:
            assert isinstance(self.game, AnonymousGame)
            self._joint = Evaluator(self.game.expanded(), self._wanted)
        return self._joint

    def _at_start(self) -> float:
        nodes = self.game.nodes
        start = slice(None, nodes.groups[1]) if nodes.timed else slice(None)
        return float(self.game.initial[nodes.states[start]] @ self.values[start])

    def _iterate(
        self, flat: NDArray[np.float64], player: int, respond: bool, joints: NDArray[np.int64]
    ) -> None:
        table = self.game.table
        last = self._last.setdefault((player, respond), np.zeros(self.game.n_states))
        _values.fix_others(
            self.game.nodes.slots, joints, table.counts, table.rows, table.reward,
            table.indptr, table.indices, table.probabilities, flat, player, respond,
            self._first, self._pay, self._heads, self._tails, self._weights,
        )  # fmt: skip
        self.values = last
        if self._duration > LONG:
            self._solve_directly()
        else:
            self.error = self._improve(sweeps=30, most=FOREVER)

    def _improve(self, *, sweeps: int, most: int) -> float:
        error = _values.iterate(
            self._first, self._pay, self._heads, self._tails, self._weights,
            self.game.discount, self._duration, self._accuracy, sweeps, most, self.values,
            self.choice,
        )  # fmt: skip
        return float(error)

    def _solve_directly(self) -> None:
        """Policy iteration (Howard 1960): every policy's values from one sparse linear system."""
        from scipy.sparse.linalg import spsolve

        S, reached = self.game.n_states, np.full(self.game.n_states, -np.inf)
        while True:
            self.error = self._improve(sweeps=0, most=1)
            risen = float((self.values - reached).max())
            if self.error <= self._accuracy or risen <= EXACT * float(np.abs(self.values).max()):
                return  # policy iteration only ever raises values: nothing is left but rounding
            rows = self._first[:-1] + self.choice
            counts = self._heads[rows + 1] - self._heads[rows]
            pointer = np.concatenate([[0], np.cumsum(counts)])
            picked = np.arange(pointer[-1]) + np.repeat(self._heads[rows] - pointer[:-1], counts)
            # Without the loops of states at rest, whose values are 0: they make it singular.
            weights = self._weights[picked] * np.repeat(self._moving, counts)
            moves = sp.csr_array((weights, self._tails[picked], pointer), (S, S))
            system = sp.eye_array(S, format="csr") - self.game.discount * moves
            self.values[:] = reached = spsolve(system.tocsc(), self._pay[rows])

    def responses(
        self, flat: NDArray[np.float64], *, correlated: bool = False
    ) -> NDArray[np.float64]:
        """Everybody's best response, as one pure flat policy; to a joint one where `correlated`."""
        found = np.zeros(int(self.game.nodes.slots[-1, -1]))
        for i, slots in enumerate(self.game.nodes.slots):
            self.value(flat, i, respond=True, correlated=correlated)
            found[slots[:-1] + self.choice] = 1.0
        return found

    def _swap_value(self, flat: NDArray[np.float64], player: int) -> float:
        """Player's value at `game.initial` when it swaps what it is told as well as it can."""
        table, nodes = self.game.table, self.game.nodes
        self.values = np.zeros(len(nodes.states))
        if nodes.cyclic:
            self.values = self._last.setdefault((player, "swap"), self.values)
        self.error = _swap_values.swap(
            nodes.states, nodes.groups, nodes.joints, nodes.timed,
            table.counts, table.rows, table.reward, table.reward_stride,
            table.indptr, table.indices, table.probabilities, table.transition_stride,
            self.game.discount, flat, player, nodes.cyclic, self._duration, self._accuracy,
            self.values,
        )  # fmt: skip
        return self._at_start()

    def nash_gap(self, flat: NDArray[np.float64]) -> float:
        """Nash gap of a flat policy; never negative."""
        if self.game.kind != "zero-sum":
            return self._largest_gain(flat, correlated=False)
        if self._both is not None:
            return _certified(self._both(flat).sum())
        return _certified(sum(self.value(flat, i, respond=True) + self.error for i in range(2)))

    def gap(self, flat: NDArray[np.float64], concept: str) -> float:
        """The gap that belongs to a solution concept: "nash", "cce" or "ce"."""
        return {"nash": self.nash_gap, "cce": self.cce_gap, "ce": self.ce_gap}[concept](flat)

    def cce_gap(self, flat: NDArray[np.float64]) -> float:
        """Coarse correlated gap of a flat joint policy; never negative."""
        return self._largest_gain(flat, correlated=True)

    def ce_gap(self, flat: NDArray[np.float64]) -> float:
        """Correlated gap of a flat joint policy; never negative."""
        return self._largest_gain(flat, correlated=True, swap=True)

    def _largest_gain(
        self, flat: NDArray[np.float64], *, correlated: bool, swap: bool = False
    ) -> float:
        if correlated and self._others is not None:
            return self._whole()._largest_gain(flat, correlated=True, swap=swap)
        if self._gains is not None and not swap:
            found = self._gains(flat, self.game.nodes.joints if correlated else NOTHING)
            return max(_certified(gain) for gain in np.diff(found.reshape(2, -1), axis=0)[0])
        gains = []
        for i in range(self.game.n_players):
            value = self.value(flat, i, respond=False, correlated=correlated) - self.error
            if swap:
                best = self._swap_value(flat, i)
            else:
                best = self.value(flat, i, respond=True, correlated=correlated)
            gains.append(_certified(best + self.error - value))
        return max(gains)

    def node_gaps(self, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        """`(N,)` what all players together could gain by best responses from every node on."""
        gains = np.zeros(len(self.game.nodes.states))
        for i in range(self.game.n_players):
            self.value(flat, i, respond=True)
            gains += self.values
            if self.game.kind != "zero-sum":  # where the values of all players cancel
                self.value(flat, i, respond=False)
                gains -= self.values
        return np.maximum(gains, 0.0)


def _certified(gain: float) -> float:
    """A gain, at least 0; infinite where it is no number, which certifies nothing."""
    return max(0.0, float(gain)) if np.isfinite(gain) else np.inf
