"""Passes over all stage games of a two-player zero-sum game (see `exact`)."""

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.evaluator import Evaluator, expected_duration
from metamarl.algorithms.solver import AbstractRun
from metamarl.envs.game import MarkovGame

OFTEN = 20  # iterations between measurements of the gap
SHORTEST = 1 / 32  # of Newton's step
ENOUGH = 0.1  # part of what a step promises that the residual must fall by (Armijo 1966)
PATIENCE = 100  # steps without Newton's after which it is not tried again
ROUNDING = 1e-14  # relative residual at which there is nothing left to do


class PolicyIteration(AbstractRun):
    """One backward pass; with cycles, as many passes as it takes."""

    def __init__(self, game: MarkovGame, initial: NDArray[np.float64]) -> None:
        self.game, self.flat = game, initial.copy()
        self.values = np.zeros(len(game.nodes.states))
        self.judge: Evaluator | None = None
        self.residual = np.inf
        if game.nodes.cyclic:
            self.judge = Evaluator(game)
            scale = float(np.abs(game.table.reward[0]).max()) * expected_duration(game)
            self.enough = ROUNDING * scale
            self.safe_steps, self.fell = 0, False

    def _sweep(self, values: NDArray[np.float64]) -> float:
        """Shapley's operator on `values`, which it changes: the residual. Writes the policies."""
        from metamarl.algorithms import _stage_games  # Numba: only where needed

        game, table, nodes = self.game, self.game.table, self.game.nodes
        residual = _stage_games.solve_stages(
            nodes.states, nodes.groups, nodes.slots, nodes.timed, table.counts,
            table.rows, table.reward, table.reward_stride, table.indptr, table.indices,
            table.probabilities, table.transition_stride, game.discount,
            values, self.flat,
        )  # fmt: skip
        return float(residual)

    def advance(self, iterations: int) -> int:
        if self.judge is None:
            self._sweep(self.values)
            self.finished = True
            return 1
        if self.residual == np.inf:
            self.residual = self._sweep(self.values.copy())
        for done in range(1, iterations + 1):
            if self.residual > self.enough and not self._go_far(self.judge):
                self._go_safely(self.judge)
            if self.finished or self.residual <= self.enough:
                self.finished = True
                return done
        return iterations

    def _go_far(self, judge: Evaluator) -> bool:
        """Newton's step, or the first of its halves that lowers the residual; False if none."""
        if self.safe_steps > PATIENCE:
            return False
        policies = self.flat.copy()
        judge.value(policies, 0, respond=False)
        step, part = judge.values - self.values, 1.0
        while part >= SHORTEST:
            values = self.values + part * step
            residual = self._sweep(values.copy())
            if residual <= (1.0 - ENOUGH * part) * self.residual:
                self.values, self.residual, self.fell = values, residual, False
                return True
            part /= 2
        self.flat = policies
        return False

    def _go_safely(self, judge: Evaluator) -> None:
        """Hoffman and Karp's step. Two in a row that change nothing are the end."""
        judge.value(self.flat, 0, respond=True)
        before, self.values = self.values, judge.values.copy()
        still = float((before - self.values).max()) <= 1e-15 * float(np.abs(before).max())
        self.residual = self._sweep(self.values.copy())
        self.finished, self.fell = self.fell and still, True
        self.safe_steps += 1

    def policy(self) -> NDArray[np.float64]:
        return self.flat.copy()

    def next_check(self, done: int) -> int:  # noqa: ARG002
        return OFTEN
