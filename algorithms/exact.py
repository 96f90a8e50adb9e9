r"""Exact solution of two-player zero-sum Markov games, of one-player and of turn-based ones.

With a horizon or without cycles: backward induction, one simplex per stage game (Shapley 1953).
With cycles: policy iteration around Shapley's operator $\operatorname{val}(r + γ P V)$. Pollatschek
& Avi-Itzhak's (1969) step takes the value of both current minimax policies to the end: it is
Newton's, fast but not safe. Where it does not lower the residual it is halved (Filar & Tolwinski
1991), and where that does not help either, Hoffman & Karp's (1966) takes the value of player 0's
best response to player 1's policy. After a hundred of these there are no others: their values fall
to the solution.
One player: its best response. Turn-based games of any number of players, with a horizon or without
cycles: backward induction to a subgame-perfect equilibrium (see `_turn_based_run`).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms._policy_iteration_run import PolicyIteration
from metamarl.algorithms._turn_based_run import TurnBasedRun, state_with_two_movers
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.solver import AbstractRun, AbstractSolver
from metamarl.envs.checks import complaint, said
from metamarl.envs.game import MarkovGame


def is_exactly_solvable(game: MarkovGame) -> bool:
    """Whether `Exact` takes the game."""
    if game.n_players == 1 or game.kind == "zero-sum":
        return True
    return not game.nodes.cyclic and state_with_two_movers(game) is None


@dataclass(frozen=True, kw_only=True)
class Exact(AbstractSolver):
    """Backward induction or policy iteration to rounding error; it has no options."""

    name: ClassVar[str] = "exact"
    max_iterations: ClassVar[int] = 100_000
    settles: ClassVar[bool] = True

    def start(self, game: MarkovGame, initial: NDArray[np.float64]) -> AbstractRun:
        """Begin on a zero-sum, one-player or turn-based game; ValueError for any other."""
        if game.n_players == 1:
            return _Alone(game, initial)
        if game.kind == "zero-sum":
            return PolicyIteration(game, initial)
        if is_exactly_solvable(game):
            return TurnBasedRun(game, initial)
        must = (
            "a zero-sum, one-player or turn-based game, the last with a horizon or without cycles, "
            "for solver 'exact' ('omd' finds a coarse correlated equilibrium of any other)"
        )
        state, this = state_with_two_movers(game), f"a {game.kind} game with {game.n_players}"
        if state is None:
            got = said(f"{this} players who move in turns, which has cycles and no horizon")
        else:
            got = said(f"{this} players, some of whom move at once in state {state}")
        raise ValueError(complaint("game", "solve", must, got))


class _Alone(AbstractRun):
    def __init__(self, game: MarkovGame, initial: NDArray[np.float64]) -> None:
        self.game, self.flat = game, initial.copy()

    def advance(self, iterations: int) -> int:  # noqa: ARG002
        judge = Evaluator(self.game)
        judge.value(self.flat, 0, respond=True)
        self.flat[:] = 0.0
        self.flat[self.game.nodes.slots[0, :-1] + judge.choice] = 1.0
        self.finished = True
        return 1

    def policy(self) -> NDArray[np.float64]:
        return self.flat.copy()
