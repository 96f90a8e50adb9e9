"""Turn-based (perfect-information) games of any number of players, solved by backward induction.

Where at most one player has a choice at every node, and no play comes back to a node, the player to
move at the last nodes takes its best action, the one before it knows what follows, and so on to the
start (Zermelo 1913; Kuhn 1953): what all play is a **subgame-perfect equilibrium**, in pure
policies (Selten 1965). It is one of several, and its values one of several too, where a player to
move is indifferent between actions of which another player is not; where that happens nowhere, its
values are those of every subgame-perfect equilibrium. Stationary games with cycles are another
matter: they need not have a stationary equilibrium in pure policies, and are not solved here.
"""

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms import _turn_based
from metamarl.algorithms.solver import AbstractRun
from metamarl.envs.game import MarkovGame


def state_with_two_movers(game: MarkovGame) -> int | None:
    """Return the first node's state in which two players have a choice; None if turn-based."""
    at_once = sum((mask.sum(1) > 1).astype(int) for mask in game.legal) > 1
    found = np.flatnonzero(at_once[game.nodes.states])
    return int(game.nodes.states[found[0]]) if len(found) else None


class TurnBasedRun(AbstractRun):
    """One backward pass; ties are broken towards the first action, and said in `note`."""

    def __init__(self, game: MarkovGame, initial: NDArray[np.float64]) -> None:
        self.game, self.flat = game, initial.copy()

    def advance(self, iterations: int) -> int:  # noqa: ARG002
        table, nodes = self.game.table, self.game.nodes
        ties = _turn_based.induce(
            nodes.states, nodes.groups, nodes.slots, nodes.timed, table.counts,
            table.rows, table.reward, table.reward_stride, table.indptr, table.indices,
            table.probabilities, table.transition_stride, self.game.discount, self.flat,
        )  # fmt: skip
        if ties:
            place = "(step, state) pair" if nodes.timed else "state"
            self.note = (
                f"At {ties:,} {place}{'s' * (ties > 1)} the player to move is indifferent while "
                "others are not, so that there are other equilibria with other values; here it "
                "takes the first of its best actions."
            )
        self.finished = True
        return 1

    def policy(self) -> NDArray[np.float64]:
        return self.flat.copy()
