"""Staged mirror descent of all players of a general-sum game (see `_general_sum`)."""

import math
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms import _general_sum as kernels
from metamarl.algorithms import _general_sum_lanes as lanes
from metamarl.algorithms._stages import StagedRun
from metamarl.algorithms._vectors import LANES, aligned
from metamarl.algorithms.backward import node_work, share_out
from metamarl.algorithms.evaluation import effective_horizon
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.threads import WORTH_IT, default_threads, run_parts
from metamarl.envs.game import MarkovGame

if TYPE_CHECKING:
    from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent

ROOM = 2**22  # numbers of workspace that a block may take, for each thread
PER_CELL, PER_ACTION = 1.5, 20.0  # nanoseconds of an iteration of a node alone, or of a block


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
        self.G, self.X = np.empty_like(initial), np.empty_like(initial)
        self.squares, self.D = nodes.slots, self.G
        if self.concept == "ce":
            self._place_learners()
        self._share()
        self._cuts = share_out(
            game.n_players * node_work(game), 0, len(nodes.states), len(self.parts)
        )
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
        self.M[:] = self.start_point
        run_parts(partial(self._prepare, still), list(pairwise(self._cuts)))
        if self.concept == "ce":
            self.D = self.first[self.told] * self.G[self.swapped]
        self.S[:] = 0.0
        self.V[:] = 0.0

    def _prepare(self, still: bool, part: tuple[int, int]) -> None:
        """Payoffs, step sizes and first predictions at some nodes; the first stage plays Q = 0."""
        game, table, nodes = self.game, self.game.table, self.game.nodes
        begin, end = part
        if not still:
            kernels.fill(
                begin, end, nodes.states, nodes.groups, nodes.joints, nodes.timed, table.rows,
                table.reward, table.reward_stride, table.indptr, table.indices,
                table.probabilities, table.transition_stride, game.discount, self.values, self.Q,
            )  # fmt: skip
        self._set_steps(nodes.joints[begin : end + 1], self.eta[begin:end])
        kernels.predict(
            begin, end, self.counts, nodes.slots, nodes.joints, self.Q, self.first, self.G, self.S
        )

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

    def _set_steps(self, joints: NDArray[np.int64], eta: NDArray[np.float64]) -> None:
        step, n = self.options.step_size, self.game.n_players
        scale = self.H * (float(np.ptp(self.game.table.reward, axis=1).max()) or 1.0)
        if step == "adaptive":
            # A learner of "ce" sees only its share of the payoffs.
            times = 8.0 if self.concept == "ce" else 4.0
            kernels.adapt(joints, self.Q, eta, times * self.options.factor)
        elif step == "theory":
            eta[:] = self.length**-0.25 / (scale * math.sqrt(n))
        elif step == "logarithmic":
            eta[:] = 1.0 / (scale * n * max(1.0, math.log(self.length)) ** 4)
        else:
            eta[:] = step

    def _share(self) -> None:
        """Put nodes of one shape into blocks, and cut all into a part for each thread."""
        n, counts = self.game.n_players, self.counts
        shapes, shape_of = np.unique(counts, axis=0, return_inverse=True)
        blocks, alone = [np.zeros((0, LANES), np.int64)], [np.zeros(0, np.int64)]
        needed = 0
        for k, shape in enumerate(shapes):
            nodes = np.flatnonzero(shape_of.ravel() == k)
            room = lanes.room(shape.tolist(), swap=self.concept == "ce")
            if room > ROOM:
                alone.append(nodes)
            else:
                nodes = np.pad(nodes, (0, -len(nodes) % LANES), constant_values=-1)
                blocks.append(nodes.reshape(-1, LANES))
                needed = max(needed, room)
        work = PER_CELL * n * counts.prod(1) + PER_ACTION * counts.sum(1)
        if self.concept == "ce":
            work += PER_CELL * (counts**3).sum(1)
        threads, pieces = self.options.threads or default_threads(), []
        for nodes in (np.concatenate(blocks), np.concatenate(alone)):
            cost = np.cumsum(work[nodes[:, 0] if nodes.ndim == 2 else nodes])
            cuts = np.linspace(0.0, cost[-1] if len(cost) else 0.0, threads + 1)[1:-1]
            pieces.append(np.split(nodes, np.searchsorted(cost, cuts)))
        self.work = float(
            work[np.concatenate(alone)].sum() + work[np.concatenate(blocks)[:, 0]].sum()
        )
        self.parts = [
            (*pair, aligned(needed), np.zeros(n, np.int64))
            for pair in zip(*pieces, strict=True)
            if len(pair[0]) + len(pair[1])
        ]

    def _play(self, times: int) -> None:
        task = partial(self._play_part, times)
        if self.work * times >= WORTH_IT:
            run_parts(task, self.parts)
        else:
            for part in self.parts:
                task(part)

    def _play_part(self, times: int, part: Any) -> None:
        blocks, alone, room, digits = part
        counts, slots, joints = self.counts, self.game.nodes.slots, self.game.nodes.joints
        optimism, swap = self.options.optimism, self.concept == "ce"
        if len(blocks):
            lanes.entropy(
                blocks, counts, self.squares, joints, self.Q, self.M, self.D, self.S, self.V,
                self.eta, optimism, swap, times, room, digits,
            )  # fmt: skip
        sums = (self.G, self.X, self.S, self.V, self.eta, optimism, times)
        if len(alone) and swap:
            kernels.swap_entropy(
                alone, counts, slots, joints, self.squares, self.Q, self.M, self.D, *sums
            )
        elif len(alone):
            kernels.entropy(alone, counts, slots, joints, self.Q, self.M, *sums)

    def _plays(self) -> NDArray[np.float64]:
        return self.S.copy()

    def _keep_values(self) -> None:
        self.values = self.V / self.played
