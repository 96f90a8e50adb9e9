"""An arm whose solver only plays the games: learned starts, with learned step sizes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solve import solve
from metamarl.algorithms.solver import AbstractSolver
from metamarl.distances import divergence
from metamarl.envs.game import MarkovGame
from metamarl.meta import MetaLearner

NEAREST = 1e-3  # distance of a start from the solution, in parts of log A


class PlayingArm:
    """Solves games one after another; tells the solver how far solutions were from their starts."""

    def __init__(self, meta: MetaLearner, solver: AbstractSolver, seed: int) -> None:
        self.meta, self.solver, self.seed = meta, solver, seed
        self._distances: list[float] = []

    def solve(
        self, game: Any, past: Sequence[Any], task: int, tol: float, max_iterations: int | None
    ) -> Any:
        """The solution of game number `task`, after the past ones; seeded by (seed, task)."""
        start = self.meta.start(game, past)
        solver = self.solver
        if start is not None and self._distances:
            solver = solver.expecting(float(np.mean(self._distances)))
        drawn = int(np.random.SeedSequence([self.seed, task]).generate_state(1)[0])
        solution = solve(game, solver, start, tol, max_iterations, drawn, throw=False)
        self._distances.append(_distance(game, solution.policy, start))
        return solution


def _distance(game: Any, solution: Any, start: Any) -> float:
    """Mean KL divergence of a solution from its start, in parts of log A."""
    if isinstance(game, MarkovGame):
        most = float(np.log(np.diff(game.nodes.slots)).sum())
        total = divergence(game, solution, start or JointPolicy.uniform(game)).sum()
    else:
        from metamarl.algorithms.observation_policy import Layout, ObservationPolicy

        space = Layout(game, [solution])
        most, p = space.most, space.flat(solution)
        q = space.flat(start or ObservationPolicy.uniform(game))
        with np.errstate(divide="ignore", invalid="ignore"):
            total = np.where(p > 0, p * np.log(p / q), 0.0).sum()
    return float(np.clip(total / most, NEAREST, 1.0)) if most else 1.0
