"""Staged mirror descent of all players of a general-sum game (see `_general_sum`)."""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms import _general_sum as kernels
from metamarl.algorithms._stages import StagedRun
from metamarl.algorithms.evaluation import effective_horizon
from metamarl.algorithms.evaluator import Evaluator
from metamarl.envs.game import MarkovGame

if TYPE_CHECKING:
    from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent


class GeneralSumRun(StagedRun):
    """Every player's mirror descent; the output is a flat joint policy."""

    def __init__(
        self, options: "OptimisticMirrorDescent", game: MarkovGame, initial: NDArray[np.float64]
    ) -> None:
        nodes = game.nodes
        joints = nodes.joints[nodes.groups]
        spans = [[slice(joints[g], joints[g + 1])] for g in range(nodes.n_groups)]
        self.S = np.zeros(int(nodes.joints[-1]))
        H = effective_horizon(game)
        counts = game.table.counts[nodes.states]
        self.counts, self.options, self.game = counts, options, game
        kernels.multiply(counts, nodes.slots, nodes.joints, initial, self.S)
        super().__init__(H, options.output, options.resolution, self.S.copy(), spans)
        self.concept = options.equilibrium
        self.first, self.start_point = initial, np.log(initial)
        self.G = np.empty_like(initial)
        if self.concept == "ce":
            self._place_learners()
        self.M = np.empty_like(self.start_point)
        self.Q = np.zeros((game.n_players, len(self.S)))
        self.V = np.zeros((game.n_players, len(nodes.states)))
        self.eta = np.zeros(len(nodes.states))
        self.values = np.zeros_like(self.V)
        if options.first_values == "policy":
            judge = Evaluator(game)
            for i in range(game.n_players):
                judge.value(initial, i, respond=False)
                self.values[i] = judge.values
        self._begin(still=options.first_values == "zero")

    def _begin(self, *, still: bool = False) -> None:
        game, table, nodes = self.game, self.game.table, self.game.nodes
        if not still:  # the first stage plays Q = 0
            kernels.fill(
                nodes.states, nodes.groups, nodes.joints, nodes.timed, table.rows, table.reward,
                table.reward_stride, table.indptr, table.indices, table.probabilities,
                table.transition_stride, game.discount, self.values, self.Q,
            )  # fmt: skip
        self._set_steps()
        self.M[:] = self.start_point
        kernels.predict(self.counts, nodes.slots, nodes.joints, self.Q, self.first, self.G)
        if self.concept == "ce":
            self.D = self.first[self.told] * self.G[self.swapped]
        self.S[:] = 0.0
        self.V[:] = 0.0

    def _place_learners(self) -> None:
        """One learner per own action, all starting alike (see `kernels.swap_entropy`)."""
        nodes, counts = self.game.nodes, self.counts.T
        sizes = counts**2
        ends = np.cumsum(sizes.ravel()).reshape(sizes.shape)
        self.squares = ends - sizes
        owner = np.repeat(np.arange(sizes.size), sizes.ravel())
        inside = np.arange(len(owner)) - self.squares.ravel()[owner]
        first = nodes.slots[:, :-1].ravel()[owner]
        self.told, self.swapped = (
            first + part for part in np.divmod(inside, counts.ravel()[owner])
        )
        self.start_point = self.start_point[self.swapped]

    def _set_steps(self) -> None:
        step, n = self.options.step_size, self.game.n_players
        scale = self.H * (float(np.ptp(self.game.table.reward, axis=1).max()) or 1.0)
        if step == "adaptive":
            # A learner of "ce" sees only its share of the payoffs.
            times = 8.0 if self.concept == "ce" else 4.0
            kernels.adapt(self.game.nodes.joints, self.Q, self.eta, times * self.options.factor)
        elif step == "theory":
            self.eta[:] = self.length**-0.25 / (scale * math.sqrt(n))
        elif step == "logarithmic":
            self.eta[:] = 1.0 / (scale * n * max(1.0, math.log(self.length)) ** 4)
        else:
            self.eta[:] = step

    def _play(self, times: int) -> None:
        nodes = self.game.nodes
        if self.concept == "ce":
            kernels.swap_entropy(
                self.counts, nodes.slots, nodes.joints, self.squares, self.Q, self.M, self.D,
                self.G, self.S, self.V, self.eta, self.options.optimism, times,
            )  # fmt: skip
            return
        kernels.entropy(
            self.counts, nodes.slots, nodes.joints, self.Q, self.M, self.G, self.S, self.V,
            self.eta, self.options.optimism, times,
        )  # fmt: skip

    def _plays(self) -> NDArray[np.float64]:
        return self.S.copy()

    def _keep_values(self) -> None:
        self.values = self.V / self.played
