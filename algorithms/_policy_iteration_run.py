"""Passes over all stage games of a two-player zero-sum game (see `exact`)."""

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.evaluator import Evaluator, expected_duration
from metamarl.algorithms.solver import AbstractRun
from metamarl.envs.game import MarkovGame

OFTEN = 20  # iterations between measurements of the gap
ROUNDING = 1e-14  # relative residual at which there is nothing left to do


class PolicyIteration(AbstractRun):
    """One backward pass; with cycles, as many passes as it takes."""

    def __init__(self, game: MarkovGame, initial: NDArray[np.float64]) -> None:
        self.game, self.flat = game, initial.copy()
        self.values = np.zeros(len(game.nodes.states))
        self.judge: Evaluator | None = None
        self.residual, self.newton = np.inf, True
        if game.nodes.cyclic:
            self.judge = Evaluator(game)
            scale = float(np.abs(game.table.reward[0]).max()) * expected_duration(game)
            self.enough = ROUNDING * scale

    def _sweep(self) -> float:
        from metamarl.algorithms import _stage_games  # imports QuantEcon: only where needed

        game, table, nodes = self.game, self.game.table, self.game.nodes
        residual = _stage_games.solve_stages(
            nodes.states, nodes.groups, nodes.slots, nodes.timed, table.counts,
            table.rows, table.reward, table.reward_stride, table.indptr, table.indices,
            table.probabilities, table.transition_stride, game.discount,
            self.values, self.flat,
        )  # fmt: skip
        return float(residual)

    def advance(self, iterations: int) -> int:
        if self.judge is None:
            self._sweep()
            self.finished = True
            return 1
        for done in range(1, iterations + 1):
            before, fell = self.values.copy(), not self.newton
            residual = self._sweep()
            if residual >= self.residual:
                self.newton = False
            self.residual = min(residual, self.residual)
            self.judge.value(self.flat, 0, respond=not self.newton)
            self.values = self.judge.values.copy()
            still = float((before - self.values).max()) <= 1e-15 * float(np.abs(before).max())
            if residual <= self.enough or (fell and still):
                self.finished = True
                return done
        return iterations

    def policy(self) -> NDArray[np.float64]:
        return self.flat.copy()

    def next_check(self, done: int) -> int:  # noqa: ARG002
        return OFTEN
