r"""Markov games (Shapley 1953; Littman 1994): states, players who move at once, rewards, a clock.

In state $s$ every player $i$ picks a legal action $a_i$; player $i$ receives $r_i(s, a)$ and the
next state is drawn from $P(\cdot | s, a)$. Values are expected (discounted) sums of rewards until
the horizon, or for ever, or until the game ends by itself.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from metamarl.envs._stage_potential import find_kind, potential_rows
from metamarl.envs.checks import (
    check_array,
    check_integer,
    check_legal,
    check_memory,
    check_names,
    check_real,
    complaint,
    said,
)
from metamarl.envs.clock import Nodes, ends_by_itself, unroll
from metamarl.envs.table import ROUNDING, Table, as_sparse, build_table, legal_rows, sparse_rows

WHERE = "MarkovGame"


class MarkovGame:
    """A Markov game with n ≥ 1 players, S states and A_i actions of player i.

    Args:
        transition: `(S, A_1, …, A_n, S)` probabilities of the next state; or
            `(H, S, A_1, …, A_n, S)` when they depend on the step; or a `scipy.sparse` matrix
            `(S·A_1⋯A_n, S)`.
        reward: `(n, S, A_1, …, A_n)`, or `(n, H, S, A_1, …, A_n)` when it depends on the step.
        initial: `(S,)` distribution of the first state; uniform if left out.
        horizon: number of steps H; a discount may be given too.
        discount: γ in [0, 1]. Without a horizon it must be below 1, unless the game **ends by
            itself**: whatever is played, an absorbing state without rewards is reached with
            probability 1.
        legal: n boolean arrays `(S, A_i)`; everything is legal if left out. What `transition` and
            `reward` say of illegal actions is ignored.
        name: what to call the game in tables and errors.
        states: names of the states, any hashable, in order.
        actions: names of every player's actions.
        board: draws a state's name as lines of text, one character per cell.
        potential: `(S, A_1, …, A_n)` or `(H, S, A_1, …, A_n)`, an exact potential of every stage
            game: whenever one player deviates it changes as much as that player's reward, which is
            checked; the kind then is "potential". That is said of the stages: its expected sum is
            an exact potential of the whole game where transitions do not depend on actions or
            interests are identical, and need not be elsewhere (see `find_potential`).

    Raises:
        TypeError, ValueError: one sentence that names the parameter, the state and the action.
    """

    table: Table
    aggregate: "MarkovGame | None" = None  # of anonymous games (`metamarl.envs.anonymous`)

    def __init__(
        self,
        transition: ArrayLike | sp.sparray | sp.spmatrix,
        reward: ArrayLike,
        initial: ArrayLike | None = None,
        horizon: int | None = None,
        discount: float = 1.0,
        legal: Sequence[ArrayLike] | None = None,
        *,
        name: str = "game",
        states: Sequence[Hashable] | None = None,
        actions: Sequence[Sequence[str]] | None = None,
        board: Callable[[Any], Sequence[str]] | None = None,
        potential: ArrayLike | None = None,
    ) -> None:
        sparse = sp.issparse(transition)
        P = as_sparse(transition) if sparse else check_array(transition, "transition", WHERE)
        R = check_array(reward, "reward", WHERE)
        horizon, discount = _check_clock(horizon, discount)
        if P.ndim < 2:
            must = "of shape (S, A_1, …, A_n, S), or a sparse matrix"
            raise ValueError(complaint("transition", WHERE, must, said(f"shape {P.shape}")))
        shape, timed_reward = _check_reward_shape(R, P.shape[-1], horizon)
        flat = (int(np.prod(shape)), shape[0])
        wanted = flat if sparse else (*shape, shape[0])
        timed_transition = not sparse and P.shape == (horizon, *wanted)
        if P.shape != wanted and not timed_transition:
            must = f"of shape {wanted} to go with a reward of shape {R.shape}"
            if horizon is not None and not sparse:
                must += f", or {(horizon, *wanted)} when it depends on the step"
            raise ValueError(complaint("transition", WHERE, must, said(f"shape {P.shape}")))
        masks = check_legal(legal, shape)
        picked = legal_rows(masks)
        all_legal = len(picked) == flat[0]
        steps_r, steps_p = (
            horizon if t and horizon else 1 for t in (timed_reward, timed_transition)
        )
        r_rows = R.reshape(len(R), steps_r, flat[0])
        if sparse:
            p_rows = P if all_legal else P[picked]
        else:
            P = P.reshape(steps_p, *flat)
            P = P if all_legal else P[:, picked]
            p_rows = sparse_rows(P.reshape(-1, shape[0]))
        table = build_table(
            masks,
            (r_rows if all_legal else r_rows[:, :, picked]).reshape(len(R), -1),
            p_rows,
            reward_stride=len(picked) if timed_reward else 0,
            transition_stride=len(picked) if timed_transition else 0,
        )
        if potential is not None:
            potential = potential_rows(potential, shape, horizon, picked)
        self._finish(table, initial, horizon, discount, name, states, actions, board, potential)

    @classmethod
    def from_table(
        cls,
        table: Table,
        initial: ArrayLike | None = None,
        horizon: int | None = None,
        discount: float = 1.0,
        *,
        name: str = "game",
        states: Sequence[Hashable] | None = None,
        actions: Sequence[Sequence[str]] | None = None,
        board: Callable[[Any], Sequence[str]] | None = None,
        potential: ArrayLike | None = None,
    ) -> "MarkovGame":
        """A game straight from its ragged sparse rows (`metamarl.envs.table.build_table`).

        A potential has a number for every row, or for every row of every step.
        """
        game = cls.__new__(cls)
        horizon, discount = _check_clock(horizon, discount)
        for rows, stride in (
            (table.reward.shape[1], table.reward_stride),
            (len(table.indptr) - 1, table.transition_stride),
        ):
            if stride and rows != stride * (horizon or 0):
                must = f"{rows // stride}, the number of steps in the table"
                raise ValueError(complaint("horizon", "MarkovGame.from_table", must, horizon))
        game._finish(table, initial, horizon, discount, name, states, actions, board, potential)
        return game

    def _finish(
        self,
        table: Table,
        initial: ArrayLike | None,
        horizon: int | None,
        discount: float,
        name: str,
        states: Sequence[Hashable] | None,
        actions: Sequence[Sequence[str]] | None,
        board: Callable[[Any], Sequence[str]] | None,
        potential: ArrayLike | None,
    ) -> None:
        n_states = table.n_states
        if horizon is None and discount == 1.0 and not ends_by_itself(table):
            must = (
                "given (finite horizon), or 'discount' be below 1, or the game end by itself: "
                "here play can go on for ever"
            )
            raise ValueError(complaint("horizon", WHERE, must, None))
        check_names(name, states, actions, board, table.legal)
        self.name = name
        self.table = table
        self.initial = _check_initial(initial, n_states)
        self.horizon = horizon
        self.discount = discount
        self.nodes: Nodes = unroll(table, self.initial, horizon)
        self.states = states
        self.actions = actions
        self.board = board
        self.kind, self._potential = find_kind(table, potential, horizon, discount)

    @property
    def potential(self) -> NDArray[np.float64] | None:
        """A stage potential's rows, in the order of `compact`'s: `(R,)`, or `(H·R,)` with the step.

        As declared, or player 0's reward where interests are identical; None for other kinds.
        """
        if self._potential is None and self.kind == "potential":
            return self.compact.reward[0]
        return self._potential

    @property
    def compact(self) -> Table:
        """The smallest table that has all rewards and transitions: of `aggregate`, or `table`."""
        return self.table if self.aggregate is None else self.aggregate.table

    @property
    def n_players(self) -> int:
        """Number of players n."""
        return len(self.legal)

    @property
    def n_states(self) -> int:
        """Number of states S."""
        return len(self.legal[0])

    @property
    def n_actions(self) -> tuple[int, ...]:
        """Numbers of actions (A_1, …, A_n), legal or not."""
        return tuple(mask.shape[1] for mask in self.legal)

    @property
    def legal(self) -> tuple[NDArray[np.bool_], ...]:
        """n boolean arrays `(S, A_i)`."""
        return self.table.legal

    def dense(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`transition` and `reward` as the constructor takes them; zero where an action is illegal.

        Raises ValueError where they would not fit into memory.
        """
        table, shape = self.table, (self.n_states, *self.n_actions)
        steps = self.horizon or 1
        steps_p = steps if table.transition_stride else 1
        steps_r = steps if table.reward_stride else 1
        size = int(np.prod(shape, dtype=object))
        check_memory(8.0 * size * (steps_p * shape[0] + steps_r * self.n_players), "The dense game")
        picked = legal_rows(table.legal)
        P = np.zeros((steps_p, size, self.n_states))
        for step in range(steps_p):
            P[step, picked] = table.successors(step).toarray()
        R = np.zeros((self.n_players, steps_r, size))
        R[:, :, picked] = table.reward.reshape(self.n_players, steps_r, -1)
        P = P.reshape(*((steps,) if steps_p > 1 else ()), *shape, self.n_states)
        return P, R.reshape(self.n_players, *((steps,) if steps_r > 1 else ()), *shape)

    def __repr__(self) -> str:
        clock = f"horizon={self.horizon}" if self.horizon is not None else ""
        if self.discount < 1:
            clock += (", " if clock else "") + f"discount={self.discount:g}"
        return (
            f"MarkovGame({self.name!r}, {self.kind}, n_players={self.n_players}, "
            f"n_states={self.n_states}, n_actions={self.n_actions}, {clock or 'ends by itself'})"
        )


def _check_clock(horizon: Any, discount: Any) -> tuple[int | None, float]:
    if horizon is not None:
        horizon = check_integer(horizon, "horizon", WHERE)
    return horizon, check_real(discount, "discount", WHERE, 0.0, 1.0)


def _check_reward_shape(
    R: NDArray[np.float64], n_states: int, horizon: int | None
) -> tuple[tuple[int, ...], bool]:
    """The shape (S, A_1, …, A_n), and whether the reward depends on the step."""
    n = len(R) if R.ndim else 0
    if R.size and R.ndim == n + 2 and R.shape[1] == n_states:
        return R.shape[1:], False
    if R.size and R.ndim == n + 3 and R.shape[1:3] == (horizon, n_states):
        return R.shape[2:], True
    if not R.size:
        must = "of shape (n, S, A_1, …, A_n) with at least one player, state and action of each"
        raise ValueError(complaint("reward", WHERE, must, said(f"shape {R.shape}")))
    must = f"of shape (n, S, A_1, …, A_n) with S = {n_states} states as in 'transition'"
    if horizon is not None:
        must += f", or (n, {horizon}, S, A_1, …, A_n) when it depends on the step"
    raise ValueError(complaint("reward", WHERE, must, said(f"shape {R.shape}")))


def _check_initial(initial: ArrayLike | None, n_states: int) -> NDArray[np.float64]:
    if initial is None:
        return np.full(n_states, 1.0 / n_states)
    start = check_array(initial, "initial", WHERE)
    must = f"a probability distribution over the {n_states} states"
    if start.shape != (n_states,):
        raise ValueError(complaint("initial", WHERE, must, said(f"shape {start.shape}")))
    if not (start >= 0).all() or not abs(start.sum() - 1.0) <= ROUNDING:
        raise ValueError(complaint("initial", WHERE, must, start.tolist()))
    return start / start.sum()
