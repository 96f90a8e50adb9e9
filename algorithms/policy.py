"""Joint policies: what every player does at every step and state."""

import operator
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metamarl.envs.checks import check_array, check_kind, check_memory, complaint, said
from metamarl.envs.clock import Nodes
from metamarl.envs.game import MarkovGame

ROUNDING = 1e-6
NEEDED = "a JointPolicy; JointPolicy(arrays) makes one of arrays"


class JointPolicy:
    """A Markov policy of every player (a product policy: the players draw independently).

    `policy[i]` is player i's array: `(H, S, A_i)` in a game with a horizon, else `(S, A_i)`. Rows
    sum to 1 and are 0 on illegal actions; (step, state) pairs that cannot be reached are uniform.
    Arrays are read-only: change a copy, and make a policy of it.

    Args:
        arrays: one array per player.
    """

    def __init__(self, arrays: Sequence[ArrayLike]) -> None:
        if isinstance(arrays, (str, bytes)) or not isinstance(arrays, Iterable):
            raise TypeError(complaint("arrays", "JointPolicy", "one array per player", arrays))
        self._dense: list[NDArray[np.float64] | None] = [
            check_array(array, f"arrays[{i}]", "JointPolicy").copy()
            for i, array in enumerate(arrays)
        ]
        for array in self._dense:
            assert array is not None
            array.setflags(write=False)
        self._flat: NDArray[np.float64] | None = None
        self._game: tuple[Nodes, tuple[NDArray[np.bool_], ...], int | None] | None = None

    @classmethod
    def uniform(cls, game: MarkovGame) -> "JointPolicy":
        """Every player plays every legal action with equal probability."""
        check_kind(game, MarkovGame, "game", "JointPolicy.uniform", "a MarkovGame")
        counts = np.diff(game.nodes.slots).ravel()
        return cls.from_flat(game, np.repeat(1.0 / counts, counts))

    @classmethod
    def from_flat(cls, game: MarkovGame, flat: NDArray[np.float64]) -> "JointPolicy":
        """Policy from a flat array in the order of `game.nodes.slots` (not copied, not checked)."""
        policy = cls([])
        policy._dense = [None] * game.n_players
        policy._flat = flat
        policy._game = (game.nodes, game.legal, game.horizon)
        return policy

    def __len__(self) -> int:
        return len(self._dense)

    def __iter__(self) -> Iterator[NDArray[np.float64]]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, player: int) -> NDArray[np.float64]:
        player, n = operator.index(player), len(self)
        if not -n <= player < n:
            raise IndexError(complaint("player", "JointPolicy", f"below {n}", player))
        player %= n
        array = self._dense[player]
        if array is None:
            array = self._dense[player] = self._build(player)
            array.setflags(write=False)
        return array

    def __repr__(self) -> str:
        return f"JointPolicy(n_players={len(self)}, shapes={self._shapes()})"

    def _shapes(self) -> list[tuple[int, ...]]:
        if self._game is None:
            return [array.shape for array in self]
        _, legal, horizon = self._game
        return [mask.shape if horizon is None else (horizon, *mask.shape) for mask in legal]

    def _build(self, player: int) -> NDArray[np.float64]:
        assert self._game is not None
        assert self._flat is not None
        nodes, legal, horizon = self._game
        mask = legal[player]
        steps = horizon or 1
        check_memory(8.0 * steps * mask.size, "The policy as an array")
        array = np.broadcast_to(mask / mask.sum(1, keepdims=True), (steps, *mask.shape)).copy()
        rows = np.zeros((len(nodes.states), mask.shape[1]))
        rows[mask[nodes.states]] = self._flat[nodes.slots[player, 0] : nodes.slots[player, -1]]
        array[nodes.steps, nodes.states] = rows
        return array if horizon is not None else array[0]

    def flat(self, game: MarkovGame, where: str = "JointPolicy") -> NDArray[np.float64]:
        """The probabilities at the nodes of `game`, in the order of `game.nodes.slots`.

        Raises TypeError where it is no game, ValueError where the policy does not fit it.
        """
        check_kind(game, MarkovGame, "game", where, "a MarkovGame")
        if self._flat is not None and self._game is not None and self._game[0] is game.nodes:
            return self._flat
        if len(self) != game.n_players:
            got = said(f"{len(self)} arrays")
            must = f"one array for each of the {game.n_players} players"
            raise ValueError(complaint("policy", where, must, got))
        nodes = game.nodes
        parts = []
        for i, mask in enumerate(game.legal):
            array = self[i]
            wanted = mask.shape if game.horizon is None else (game.horizon, *mask.shape)
            if array.shape != wanted:
                must = f"of shape {wanted} for player {i}"
                raise ValueError(complaint("policy", where, must, said(f"shape {array.shape}")))
            array = array.reshape(-1, *mask.shape)[nodes.steps, nodes.states]
            _check_rows(array, mask[nodes.states], nodes, i, where)
            array = array / whole_sums(array.sum(1))[:, None]
            parts.append(array[mask[nodes.states]])
        return np.concatenate(parts)


def whole_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums to divide by: rows that are off by more than rounding would falsify values."""
    return np.where(np.abs(sums - 1.0) > 1e-14, sums, 1.0)


def _check_rows(
    array: NDArray[np.float64], mask: NDArray[np.bool_], nodes: Nodes, player: int, where: str
) -> None:
    fine = (array >= 0).all(1) & (np.abs(array.sum(1) - 1) <= ROUNDING)
    fine &= ~(~mask & (array != 0)).any(1)
    if not fine.all():
        node = int(np.flatnonzero(~fine)[0])
        at = f"step {nodes.steps[node]}, " if nodes.timed else ""
        got = said(f"{array[node].tolist()} for player {player} in {at}state {nodes.states[node]}")
        must = "a probability distribution over the legal actions in every state"
        raise ValueError(complaint("policy", where, must, got))
