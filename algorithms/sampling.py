"""Draws what players do from a policy as it is stored: no dense array is built."""

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.correlated import CorrelatedPolicy
from metamarl.algorithms.policy import JointPolicy
from metamarl.envs.checks import check_kind
from metamarl.envs.game import MarkovGame

POLICIES = "a JointPolicy or a CorrelatedPolicy"


class Sampler:
    """Samples the actions of all players at a (step, state), and knows their probabilities.

    The players of a `JointPolicy` draw independently, each with one number of its generator; a
    `CorrelatedPolicy` draws one joint action for all of them. Where the game cannot come, play is
    uniform, as the policies themselves are there.

    Args:
        game: the game.
        policy: what its players do.
        where: who asks, for the errors.
    """

    def __init__(
        self, game: MarkovGame, policy: JointPolicy | CorrelatedPolicy, where: str
    ) -> None:
        check_kind(game, MarkovGame, "game", where, "a MarkovGame")
        check_kind(policy, (JointPolicy, CorrelatedPolicy), "policy", where, POLICIES)
        self.game = game
        self.correlated = isinstance(policy, CorrelatedPolicy)
        self._flat = policy.flat(game, where)
        self._options = [[np.flatnonzero(row) for row in mask] for mask in game.legal]
        nodes = game.nodes
        self._node_of = np.full(game.n_states, -1)
        if not nodes.timed:
            self._node_of[nodes.states] = np.arange(len(nodes.states))

    def joint(self, rng: np.random.Generator, state: int, step: int) -> tuple[int, ...]:
        """One legal action of every player."""
        players = range(self.game.n_players)
        if not self.correlated:
            return tuple(self.draw(rng, i, state, step) for i in players)
        counts = self.game.table.counts[state]
        node = self._node(state, step)
        if node < 0:
            digits = [int(rng.integers(k)) for k in counts]
        else:
            span = slice(*self.game.nodes.joints[node : node + 2])
            drawn = np.unravel_index(draw(rng, self._flat[span]), counts)
            digits = [int(digit) for digit in drawn]
        return tuple(int(self._options[i][state][digit]) for i, digit in enumerate(digits))

    def draw(self, rng: np.random.Generator, player: int, state: int, step: int) -> int:
        """One legal action of one player, by its own policy."""
        options = self._options[player][state]
        chances = self._row(player, state, step)
        return int(options[draw(rng, chances)])

    def chances(self, player: int, state: int, step: int) -> NDArray[np.float64]:
        """`(A_i,)` the probabilities of one player's actions."""
        found = np.zeros(self.game.n_actions[player])
        found[self._options[player][state]] = self._row(player, state, step)
        return found

    def comes(self, state: int, step: int) -> bool:
        """Whether the game can be in `state` at `step`."""
        return self._node(state, step) >= 0

    def _row(self, player: int, state: int, step: int) -> NDArray[np.float64]:
        node, counts = self._node(state, step), self.game.table.counts[state]
        if node < 0:
            return np.full(counts[player], 1.0 / counts[player])
        nodes = self.game.nodes
        if not self.correlated:
            return self._flat[slice(*nodes.slots[player, node : node + 2])]
        joint = self._flat[slice(*nodes.joints[node : node + 2])].reshape(counts)
        return joint.sum(tuple(i for i in range(len(counts)) if i != player))

    def _node(self, state: int, step: int) -> int:
        """The node of a (step, state), or -1 where there is none."""
        nodes = self.game.nodes
        if not nodes.timed:
            return int(self._node_of[state])
        if step >= nodes.n_groups:
            return -1
        first, last = nodes.groups[step : step + 2]
        found = int(first + np.searchsorted(nodes.states[first:last], state))
        return found if found < last and nodes.states[found] == state else -1


def draw(rng: np.random.Generator, weights: NDArray[np.float64]) -> int:
    """An index with a positive weight, drawn with these weights; one number of the generator."""
    total = weights.cumsum()
    found = total.searchsorted(rng.random() * total[-1], "right")
    return min(int(found), int(np.flatnonzero(weights)[-1]))
