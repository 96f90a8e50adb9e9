"""Correlated policies: joint distributions over what all players do at every step and state."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metamarl.algorithms.policy import NEEDED, ROUNDING, JointPolicy, whole_sums
from metamarl.envs.checks import check_array, check_kind, check_memory, complaint, said
from metamarl.envs.clock import Nodes
from metamarl.envs.game import MarkovGame
from metamarl.envs.table import Table, legal_rows

JOINT = "a CorrelatedPolicy; CorrelatedPolicy.product(game, policy) makes one of a JointPolicy"


class CorrelatedPolicy:
    """A Markov correlated policy: at every (step, state) one joint action is drawn for all.

    The players share the random seed of each draw; draws of different steps are independent.

    Args:
        joint: `(H, S, A_1, …, A_n)` in a game with a horizon, else `(S, A_1, …, A_n)`: sums to 1
            over the joint actions and is 0 on illegal ones. Copied, and read-only from then on.
    """

    def __init__(self, joint: ArrayLike) -> None:
        self._dense: NDArray[np.float64] | None = check_array(
            joint, "joint", "CorrelatedPolicy"
        ).copy()
        self._dense.setflags(write=False)
        self._flat: NDArray[np.float64] | None = None
        self._game: tuple[Nodes, Table, int | None] | None = None

    @classmethod
    def from_flat(cls, game: MarkovGame, flat: NDArray[np.float64]) -> "CorrelatedPolicy":
        """Policy from an array in the order of `game.nodes.joints` (not copied, not checked)."""
        policy = cls.__new__(cls)
        policy._dense = None
        policy._flat = flat
        policy._game = (game.nodes, game.table, game.horizon)
        return policy

    @classmethod
    def product(cls, game: MarkovGame, policy: JointPolicy) -> "CorrelatedPolicy":
        """The correlated policy in which the players draw independently."""
        flat, nodes = flat_of_joint(game, policy, "CorrelatedPolicy.product"), game.nodes
        table = game.table  # says where joint actions are too many
        joint = np.ones(int(nodes.joints[-1]))
        for i in range(game.n_players):
            joint *= flat[owners_of(table, nodes, i)]
        return cls.from_flat(game, joint)

    def __repr__(self) -> str:
        return f"CorrelatedPolicy(shape={self._shape()})"

    def _shape(self) -> tuple[int, ...]:
        if self._game is None:
            assert self._dense is not None
            return self._dense.shape
        _, table, horizon = self._game
        shape = (table.n_states, *(mask.shape[1] for mask in table.legal))
        return shape if horizon is None else (horizon, *shape)

    @property
    def joint(self) -> NDArray[np.float64]:
        """`(H, S, A_1, …, A_n)` with a horizon, else `(S, A_1, …, A_n)`; built on demand.

        (Step, state) pairs that cannot be reached are uniform over the legal joint actions.
        """
        if self._dense is None:
            assert self._game is not None
            assert self._flat is not None
            nodes, table, horizon = self._game
            shape = (table.n_states, *(mask.shape[1] for mask in table.legal))
            steps, size = horizon or 1, int(np.prod(shape[1:], dtype=object))
            check_memory(8.0 * steps * shape[0] * size, "The correlated policy as an array")
            counts = np.diff(table.rows)
            array = np.zeros((steps, shape[0] * size))
            array[:, legal_rows(table.legal)] = np.repeat(1.0 / counts, counts)
            array[_places(table, nodes)] = self._flat
            self._dense = array.reshape(steps, *shape)
            if horizon is None:
                self._dense = self._dense[0]
            self._dense.setflags(write=False)
        return self._dense

    def flat(self, game: MarkovGame, where: str = "CorrelatedPolicy") -> NDArray[np.float64]:
        """The probabilities at the nodes of `game`, in the order of `game.nodes.joints`.

        Raises TypeError where it is no game, ValueError where the policy does not fit it.
        """
        check_kind(game, MarkovGame, "game", where, "a MarkovGame")
        if self._flat is not None and self._game is not None and self._game[0] is game.nodes:
            return self._flat
        wanted: tuple[int, ...] = (game.n_states, *game.n_actions)
        if game.horizon is not None:
            wanted = (game.horizon, *wanted)
        if self.joint.shape != wanted:
            got = said(f"shape {self.joint.shape}")
            raise ValueError(complaint("correlated", where, f"of shape {wanted}", got))
        size = int(np.prod(game.n_actions))
        rows = self.joint.reshape(-1, game.n_states * size)
        flat = rows[_places(game.table, game.nodes)]
        sums = np.add.reduceat(flat, game.nodes.joints[:-1])
        nodes = game.nodes
        whole = self.joint.reshape(-1, game.n_states, size).sum(2)[nodes.steps, nodes.states]
        fine = (np.abs(sums - 1) <= ROUNDING) & (np.abs(whole - 1) <= ROUNDING)
        fine &= np.minimum.reduceat(flat, nodes.joints[:-1]) >= 0
        if not fine.all():
            node = int(np.flatnonzero(~fine)[0])
            at = f"step {nodes.steps[node]}, " if nodes.timed else ""
            must = "a probability distribution over the legal joint actions in every state"
            got = said(f"something else in {at}state {nodes.states[node]}")
            raise ValueError(complaint("correlated", where, must, got))
        return flat / np.repeat(whole_sums(sums), np.diff(nodes.joints))

    def marginals(self, game: MarkovGame) -> JointPolicy:
        """What every player does on its own, as if it drew independently."""
        joint, nodes = self.flat(game), game.nodes
        flat = np.zeros(int(nodes.slots[-1, -1]))
        for i in range(game.n_players):
            np.add.at(flat, owners_of(game.table, nodes, i), joint)
        return JointPolicy.from_flat(game, flat)

    def sample(
        self, rng: np.random.Generator, state: int, step: int | None = None
    ) -> tuple[int, ...]:
        """Draw what all players do in `state` (at `step`, with a horizon): one action each."""
        timed = self._game[2] is not None if self._game is not None else step is not None
        if timed != (step is not None):
            must = "given in a game with a horizon, and in no other"
            raise ValueError(complaint("step", "CorrelatedPolicy.sample", must, step))
        chances = self.joint[state] if step is None else self.joint[step, state]
        drawn = int(rng.choice(chances.size, p=chances.ravel() / chances.sum()))
        return tuple(int(a) for a in np.unravel_index(drawn, chances.shape))


def flat_of_joint(game: Any, policy: Any, where: str) -> NDArray[np.float64]:
    """`policy.flat(game)`, or TypeError where they are no game and no JointPolicy."""
    check_kind(game, MarkovGame, "game", where, "a MarkovGame")
    check_kind(policy, JointPolicy, "policy", where, NEEDED)
    return policy.flat(game, where)


def flat_of_correlated(game: Any, correlated: Any, where: str) -> NDArray[np.float64]:
    """`correlated.flat(game)`, or TypeError where they are no game and no CorrelatedPolicy."""
    check_kind(game, MarkovGame, "game", where, "a MarkovGame")
    check_kind(correlated, CorrelatedPolicy, "correlated", where, JOINT)
    return correlated.flat(game, where)


def _places(table: Table, nodes: Nodes) -> tuple[NDArray[np.intp], ...]:
    """Where the nodes' joint actions lie in an array of steps x (S·A_1⋯A_n)."""
    counts = np.diff(nodes.joints)
    inside = np.arange(int(nodes.joints[-1])) - np.repeat(nodes.joints[:-1], counts)
    rows = np.repeat(table.rows[nodes.states], counts) + inside
    return np.repeat(nodes.steps, counts), legal_rows(table.legal)[rows]


def owners_of(table: Table, nodes: Nodes, player: int) -> NDArray[np.int64]:
    """`(J,)` where player's action of every joint action lies in a flat policy."""
    counts = np.diff(nodes.joints)
    inner = table.counts[:, player + 1 :].prod(1)
    inside = np.arange(int(nodes.joints[-1])) - np.repeat(nodes.joints[:-1], counts)
    states = np.repeat(nodes.states, counts)
    digit = inside // inner[states] % table.counts[states, player]
    return np.repeat(nodes.slots[player, :-1], counts) + digit
