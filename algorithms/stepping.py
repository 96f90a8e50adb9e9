"""Several copies of a game stepped side by side: what a learner that plays itself needs.

All copies move at once, and begin anew by themselves. Players are in **groups**, whose members have
the same observations and actions and one network; a member of a larger group sees which one it is.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.clock import at_rest
from metamarl.envs.game import MarkovGame

Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Who shares a network, and how large the networks' inputs are (n players, G groups)."""

    group: tuple[int, ...]
    """The group of every player."""
    sizes: tuple[int, ...]
    """Inputs of every group's networks, with one for each member where there are several."""
    n_actions: tuple[int, ...]
    """Actions of every group."""

    def members(self, group: int) -> list[int]:
        """The players of a group."""
        return [i for i, g in enumerate(self.group) if g == group]


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """What a step of all copies led to (N copies, n players)."""

    rewards: NDArray[np.float64]
    """`(N, n)`."""
    ended: NDArray[np.bool_]
    """`(N, n)` whose episode has ended, for good or cut off."""
    cut: NDArray[np.bool_]
    """`(N, n)` whose episode was cut off where it would go on; `AbstractStepper.last` shows it."""


class AbstractStepper(ABC):
    """N copies of a game with n players."""

    layout: Layout
    n_copies: int
    moves: NDArray[np.bool_]
    """`(N, n)` who moves now."""
    gone: NDArray[np.bool_]
    """`(N, n)` who has left its episode, which goes on for others: it chooses no more in it."""

    @abstractmethod
    def reset(self, rng: np.random.Generator) -> None:
        """Begin all copies anew: all that follows depends on `rng` and the actions alone."""

    @abstractmethod
    def see(self, copies: Integers, players: Integers) -> tuple[NDArray, NDArray[np.bool_]]:
        """Inputs `(K, …)` and masks `(K, A)` of K movers, all of one group."""

    @abstractmethod
    def step(self, actions: Integers) -> Outcome:
        """Play `(N, n)` actions; those of players who do not move are ignored."""

    @abstractmethod
    def last(self, copies: Integers, players: Integers) -> tuple[NDArray, NDArray[np.bool_]]:
        """Inputs `(K, …)` and masks `(K, A)` of K players, of one group, that were just cut off."""

    def close(self) -> None:  # noqa: B027
        """Let go of what is held open."""


def make_layout(
    kinds: Sequence[object], sizes: Sequence[int], n_actions: Sequence[int], share: bool
) -> Layout:
    """Groups of the players whose `kinds` are equal, or of one each."""
    group: list[int] = []
    firsts: list[int] = []
    for i, kind in enumerate(kinds):
        same = [g for g, j in enumerate(firsts) if share and kinds[j] == kind]
        if not same:
            firsts.append(i)
        group.append(same[0] if same else len(firsts) - 1)
    counts = [group.count(g) for g in range(len(firsts))]
    return Layout(
        group=tuple(group),
        sizes=tuple(
            sizes[j] + (count if count > 1 else 0) for j, count in zip(firsts, counts, strict=True)
        ),
        n_actions=tuple(n_actions[j] for j in firsts),
    )


class TabularStepper(AbstractStepper):
    """Copies of a Markov game, stepped by array operations on its sparse table.

    Players see the state, and the step where there is a horizon: one-hot rows as gymnasium flattens
    the observations of `to_pettingzoo`, given by the places of their ones.
    """

    def __init__(self, game: MarkovGame, n_copies: int, max_steps: int, share: bool) -> None:
        table = game.table
        self.game, self.n_copies, self.max_steps = game, n_copies, max_steps
        width = game.n_states + (0 if game.horizon is None else game.horizon + 1)
        n = game.n_players
        self.layout = make_layout(game.n_actions, [width] * n, game.n_actions, share)
        self.width = width
        self.moves, self.gone = np.ones((n_copies, n), bool), np.zeros((n_copies, n), bool)
        self._place = [mask.cumsum(1) - 1 for mask in table.legal]
        self._cumulative = table.probabilities.cumsum()  # every row adds 1
        timed = table.reward_stride or table.transition_stride
        self._rest = np.zeros(game.n_states, bool) if timed else at_rest(table)
        self._starts = np.flatnonzero(game.initial)
        self._odds = game.initial[self._starts].cumsum()
        self._member = np.array(
            [self.layout.members(g).index(i) for i, g in enumerate(self.layout.group)]
        )

    def reset(self, rng: np.random.Generator) -> None:
        """Draw a first state for every copy."""
        self._rng = rng
        self.state = self._begin(self.n_copies)
        self.time = np.zeros(self.n_copies, np.int64)
        self._last_state, self._last_time = self.state, self.time

    def _begin(self, count: int) -> Integers:
        drawn = self._odds.searchsorted(self._rng.random(count) * self._odds[-1], "right")
        return self._starts[np.minimum(drawn, len(self._starts) - 1)]

    def see(self, copies: Integers, players: Integers) -> tuple[NDArray, NDArray[np.bool_]]:
        """Places of ones, and what is legal in the state."""
        states = self.state[copies]
        return self._inputs(states, self.time[copies], players), self._legal(states, players)

    def last(self, copies: Integers, players: Integers) -> tuple[NDArray, NDArray[np.bool_]]:
        """The same at the end of the episodes."""
        states = self._last_state[copies]
        return self._inputs(states, self._last_time[copies], players), self._legal(states, players)

    def _legal(self, states: Integers, players: Integers) -> NDArray[np.bool_]:
        legal = self.game.legal[players[0]][states]
        for i in np.unique(players[1:]):
            legal[players == i] = self.game.legal[i][states[players == i]]
        return legal

    def _inputs(self, states: Integers, times: Integers, players: Integers) -> NDArray:
        columns = [states]
        if self.game.horizon is not None:
            columns.append(self.game.n_states + times)
        if self.layout.sizes[self.layout.group[players[0]]] > self.width:
            columns.append(self.width + self._member[players])
        return np.stack(columns, axis=1)

    def step(self, actions: Integers) -> Outcome:
        """Play every copy one step; copies that are over begin anew."""
        table, state = self.game.table, self.state
        row = np.zeros(self.n_copies, np.int64)
        for i, place in enumerate(self._place):
            row = row * table.counts[state, i] + place[state, actions[:, i]]
        row += table.rows[state]
        rewards = table.reward[:, row + self.time * table.reward_stride].T
        at = row + self.time * table.transition_stride
        drawn = self._cumulative.searchsorted(at + self._rng.random(self.n_copies), "right")
        drawn = np.clip(drawn, table.indptr[at], table.indptr[at + 1] - 1)
        state = table.indices[drawn].astype(np.int64)
        time = self.time + 1
        over = self._rest[state]
        if self.game.horizon is not None:
            over = over | (time == self.game.horizon)
        cut = ~over & (time >= self.max_steps)
        self._last_state, self._last_time = state, time
        anew = np.flatnonzero(over | cut)
        self.state, self.time = state.copy(), time.copy()
        self.state[anew], self.time[anew] = self._begin(len(anew)), 0
        shape = self.moves.shape
        return Outcome(
            rewards=rewards,
            ended=np.broadcast_to((over | cut)[:, None], shape),
            cut=np.broadcast_to(cut[:, None], shape),
        )
