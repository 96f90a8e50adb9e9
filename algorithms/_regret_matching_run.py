"""Regret matching at work on all stage games of a zero-sum game (see `regret_matching`)."""

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms._policy_iteration_run import PolicyIteration
from metamarl.algorithms.evaluation import effective_horizon
from metamarl.algorithms.evaluator import expected_duration
from metamarl.envs.game import MarkovGame

SINGLE = 1e-5  # relative gap that single precision surely reaches
ROUNDING = 1e-14  # relative gap below which there is nothing left to do


class RegretMatchingRun(PolicyIteration):
    """Passes that leave every stage game at a part of the gap that is wanted of the whole."""

    def __init__(self, game: MarkovGame, initial: NDArray[np.float64], plays: int) -> None:
        super().__init__(game, initial)
        self.plays, self.X, self.R = plays, initial.copy(), np.zeros_like(initial)
        cyclic = game.nodes.cyclic
        self.steps = 2.0 * expected_duration(game) if cyclic else float(effective_horizon(game))
        self.scale = self.steps * float(np.abs(game.table.reward[0]).max())
        self.part = 1.0

    def _sweep(self, values: NDArray[np.float64]) -> float:
        from metamarl.algorithms import _regret_matching  # Numba: only where needed

        game, table, nodes = self.game, self.game.table, self.game.nodes
        gap = max(self.part * self.wanted / self.steps, ROUNDING * self.scale)
        A, B = table.counts.max(0)
        kind = np.float32 if gap > SINGLE * self.scale else np.float64
        residual = _regret_matching.approach_stages(
            nodes.states, nodes.groups, nodes.slots, nodes.timed, table.counts,
            table.rows, table.reward, table.reward_stride, table.indptr, table.indices,
            table.probabilities, table.transition_stride, game.discount, gap, self.plays,
            self.X, self.R, np.empty(2 * A * B + 3 * (A + B), kind), values, self.flat,
        )  # fmt: skip
        self.enough = gap
        return float(residual)

    def advance(self, iterations: int) -> int:
        done = super().advance(min(iterations, 1))
        if self.finished:  # to `gap`; if that is not enough for the whole, go on to a part of it
            self.part *= 0.25
            self.residual = np.inf  # to be found anew
            self.finished = self.enough <= ROUNDING * self.scale
        return done

    def next_check(self, done: int) -> int:  # noqa: ARG002
        return 1
