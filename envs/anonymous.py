r"""Anonymous games: it only counts how many players choose an action, not who.

All n players have the same m actions and the same reward $r(s, k, a)$: what a player that chose $a$
is paid in state $s$ when the *counts* are $k$, with $k_b$ players on action $b$, itself included.
The next state is drawn from $P(\cdot | s, k)$. Congestion games are of this kind (Rosenthal 1973);
see Daskalakis & Papadimitriou, "Computing equilibria in anonymous games" (2007).

A state has $m^n$ joint actions, but only $K = \binom{n + m - 1}{m - 1}$ counts: 8 players on 4
facilities make 65,536 against 165, and 50 players still no more than 23,426. To player i, the
others are one opponent who plays their counts $c$: its *aggregate game* has m actions of its own
and $\binom{n + m - 2}{m - 1}$ of the opponent. The distribution of c follows exactly from the
others' policies (`metamarl.algorithms._counts`), so that values, best responses and gradients of
the aggregate game are those of the whole.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from metamarl.envs.checks import (
    FINITE,
    LARGEST,
    check_array,
    check_integer,
    check_memory,
    check_names,
    complaint,
    said,
)
from metamarl.envs.clock import Nodes
from metamarl.envs.counts import count_vectors, join
from metamarl.envs.game import MarkovGame
from metamarl.envs.table import ROUNDING, Table, build_table

WHERE = "AnonymousGame"


class AnonymousGame(MarkovGame):
    """A Markov game of n players in which only the counts of the actions matter.

    It is solved from its counts, by "q-ascent", "pg" and "npg"; everything that needs the joint
    actions one by one builds their `table` first, if that fits into memory.

    Args:
        players: n.
        reward: `(S, K, m)` what a player that chose an action is paid, given the counts, in the
            order of `count_vectors(n, m)`. Ignored where nobody chose it.
        transition: `(S, K, S)` probabilities of the next state, or a `scipy.sparse` matrix
            `(S·K, S)`.
        initial: as in `MarkovGame`; so are `horizon`, `discount`, `name` and `states`.
        horizon: number of steps H.
        discount: γ in [0, 1].
        name: what to call the game.
        states: names of the states.
        actions: names of the m actions.
        potential: `(S, K)` an exact potential of every stage game: a player who changes its action
            changes it by as much as its reward.

    Raises:
        TypeError, ValueError: one sentence that names the parameter, the state and the counts.
    """

    def __init__(
        self,
        players: int,
        reward: ArrayLike,
        transition: ArrayLike | sp.sparray | sp.spmatrix,
        initial: ArrayLike | None = None,
        horizon: int | None = None,
        discount: float = 1.0,
        *,
        name: str = "game",
        states: Sequence[Hashable] | None = None,
        actions: Sequence[str] | None = None,
        potential: ArrayLike | None = None,
    ) -> None:
        n = check_integer(players, "players", WHERE)
        R = check_array(reward, "reward", WHERE)
        if R.ndim != 3 or not R.size:
            must = "of shape (S, K, m) with at least one state and action"
            raise ValueError(complaint("reward", WHERE, must, said(f"shape {R.shape}")))
        S, K, m = R.shape
        self.vectors = count_vectors(n, m)
        """`(K, m)` the counts, in order."""
        if len(self.vectors) != K:
            must = f"of shape (S, {len(self.vectors)}, {m}), the counts of {n} players"
            raise ValueError(complaint("reward", WHERE, must, said(f"shape {R.shape}")))
        others = count_vectors(n - 1, m)
        self.joined = join(self.vectors, others)
        """`(K', m)` where the counts lie that come from the others' when a player joins them."""
        self._reward = self._check_reward(R)
        self._moves = self._check_moves(transition)
        legal = (np.ones((S, m), bool), np.ones((S, len(others)), bool))
        rows = np.arange(S)[:, None, None] * K + self.joined.T
        pay = self._reward[:, self.joined.T, np.arange(m)[:, None]].reshape(1, -1)
        self.aggregate = MarkovGame.from_table(
            build_table(legal, np.concatenate([pay, 0.0 * pay]), self._moves[rows.ravel()]),
            initial,
            horizon,
            discount,
            name=name,
            states=states,
        )
        self.name, self.states, self.board = name, states, None
        self.actions = None if actions is None else [actions] * n
        check_names(name, states, self.actions, None, (legal[0],) * n)
        self._legal = (legal[0],) * n
        self.initial = self.aggregate.initial
        self.horizon, self.discount = self.aggregate.horizon, self.aggregate.discount
        self.nodes = _nodes(self.aggregate.nodes, n, m)
        self.kind, self._potential = self._find_kind(potential)

    @cached_property
    def table(self) -> Table:  # type: ignore[override]
        """The rows of all joint actions, built when first asked for.

        Raises ValueError where they would not fit into memory.
        """
        (S, K, m), n = self._reward.shape, self.n_players
        needed = float(m) ** min(n, 80) * (S * (24.0 * n + 20.0 * S) + 24.0 * n)
        check_memory(needed, f"The table of {n} players with {m} actions")
        choices = np.indices((m,) * n).reshape(n, -1)
        which = self.joint_counts().ravel()
        reward = self._reward[:, which, choices].swapaxes(0, 1).reshape(n, -1)
        rows = (np.arange(S)[:, None] * K + which).ravel()
        return build_table(self._legal, reward, self._moves[rows])

    def joint_counts(self) -> NDArray[np.int64]:
        """`(m, …, m)` where the counts of every joint action lie in `vectors`."""
        n, m = self.n_players, self.joined.shape[1]
        which = np.zeros(1, np.int64)  # the counts of nobody, whom the players join in turn
        for _ in range(n):
            which = self.joined[which].ravel()
        return which.reshape((m,) * n)

    def expanded(self) -> MarkovGame:
        """The same game with its joint actions one by one."""
        return MarkovGame.from_table(
            self.table, self.initial, self.horizon, self.discount, name=self.name,
            states=self.states, actions=self.actions,
        )  # fmt: skip

    @property
    def legal(self) -> tuple[NDArray[np.bool_], ...]:
        """n boolean arrays `(S, m)`, all true."""
        return self._legal

    def deviations(self, potential: NDArray[np.float64]) -> NDArray[np.float64]:
        """`(S, K')` by how much `potential` `(S, K)` fails to follow a deviator's reward, at most.

        Given the others' counts; 0 everywhere for an exact potential of every stage game.
        """
        own = self._reward[:, self.joined, np.arange(self.joined.shape[1])]
        return np.ptp(potential[:, self.joined] - own, axis=-1)

    def integrate(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sums of gains on the way from everybody on action 0, one player after another.

        Returns:
            The rows, in the order of `compact`'s, of a potential of every stage game that has one;
            and `(1, S)` by how much it fails to be one.
        """
        S, K, m = self._reward.shape
        others, last = np.zeros(K, np.int64), np.zeros(K, np.int64)  # who came last, and to whom
        for a in range(1, m):
            others[self.joined[:, a]], last[self.joined[:, a]] = np.arange(len(self.joined)), a
        found, moved = np.zeros((S, K)), self.n_players - self.vectors[:, 0]
        for step in range(1, self.n_players + 1):
            k = np.flatnonzero(moved == step)
            before = self.joined[others[k], 0]
            gain = self._reward[:, k, last[k]] - self._reward[:, before, 0]
            found[:, k] = found[:, before] + gain
        return found[:, self.joined.T].ravel(), self.deviations(found).max(1)[None]

    def interests(self) -> float:
        """Largest difference between the rewards of two players."""
        taken = self.vectors > 0
        low = np.where(taken, self._reward, np.inf).min(-1)
        return float((np.where(taken, self._reward, -np.inf).max(-1) - low).max())

    def _find_kind(self, potential: ArrayLike | None) -> tuple[str, NDArray[np.float64] | None]:
        largest = float(np.abs(self._reward).max())
        if potential is not None:
            phi = check_array(potential, "potential", WHERE)
            must = f"of shape {self._reward.shape[:2]}"
            if phi.shape != self._reward.shape[:2]:
                raise ValueError(complaint("potential", WHERE, must, said(f"shape {phi.shape}")))
            if not np.abs(phi).max() <= LARGEST:
                raise ValueError(complaint("potential", WHERE, FINITE, said("another")))
            excess = self.deviations(phi)
            state, k = np.unravel_index(int(excess.argmax()), excess.shape)
            if excess[state, k] > ROUNDING * largest:
                others = self.vectors[k] - np.eye(1, phi.ndim)[0]
                must = "changed by every deviation as much as the deviator's reward"
                at = f"state {state}, the others' counts being {others.astype(int).tolist()}"
                got = said(f"{excess[state, k]:.6g} of difference in {at}")
                raise ValueError(complaint("potential", WHERE, must, got))
            return "potential", phi[:, self.joined.T].ravel()
        if self.interests() <= 1e-12 * largest:
            return "potential", None
        paid = np.where(self.vectors > 0, self._reward * self.vectors, 0.0).sum(-1)
        if self.n_players == 2 and np.abs(paid).max() <= 1e-12 * largest:
            return "zero-sum", None
        return "general-sum", None

    def _check_reward(self, R: NDArray[np.float64]) -> NDArray[np.float64]:
        found = np.where(self.vectors > 0, R, 0.0)  # nobody is there to be paid elsewhere
        bad = np.argwhere(~(np.abs(found) <= LARGEST))
        if len(bad):
            state, k, a = bad[0]
            at = f"state {state}, action {a}, counts {self.vectors[k].tolist()}"
            raise ValueError(
                complaint("reward", WHERE, FINITE, said(f"{found[state, k, a]} in {at}"))
            )
        return found

    def _check_moves(self, transition: Any) -> sp.csr_array:
        (S, K, _), sparse = self._reward.shape, sp.issparse(transition)
        P = transition if sparse else check_array(transition, "transition", WHERE)
        if P.shape != ((S * K, S) if sparse else (S, K, S)):
            must = f"of shape {(S, K, S)}, or a sparse matrix of shape {(S * K, S)}"
            raise ValueError(complaint("transition", WHERE, must, said(f"shape {P.shape}")))
        moves = sp.csr_array(P if sparse else P.reshape(S * K, S), dtype=np.float64)
        sums = moves.sum(axis=1)
        low = moves.min(axis=1).toarray().ravel()
        bad = np.flatnonzero(~((np.abs(sums - 1.0) <= ROUNDING) & (low >= 0.0)))
        if len(bad):
            at = f"state {bad[0] // K}, counts {self.vectors[bad[0] % K].tolist()}"
            got = said(f"a row that sums to {sums[bad[0]]:.6g}, in {at}")
            raise ValueError(complaint("transition", WHERE, "distributions of the next state", got))
        return moves


def _nodes(nodes: Nodes, n: int, m: int) -> Nodes:
    """Nodes of the whole game from those of its aggregate.

    Joint actions have places only where they can be counted.
    """
    N = len(nodes.states)
    size = m**n if m**n * N < 2**62 else 0
    return replace(
        nodes,
        slots=np.arange(n)[:, None] * (m * N) + np.arange(N + 1) * m,
        joints=np.arange(N + 1) * size,
    )
