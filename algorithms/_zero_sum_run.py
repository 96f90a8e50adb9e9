"""Staged mirror descent on a two-player zero-sum game, in lanes (see `_mirror_descent`)."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms import _mirror_descent as blockwise
from metamarl.algorithms import _projected_descent, _stage_matrices, _step_size
from metamarl.algorithms import _wide_mirror_descent as gamewise
from metamarl.algorithms._lanes import block_cost, place, wide_cost
from metamarl.algorithms._stages import StagedRun
from metamarl.algorithms._vectors import LANE_BYTES, aligned
from metamarl.algorithms.backward import node_work, share_out
from metamarl.algorithms.evaluation import effective_horizon
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.stage_starts import StageStart, ask, matrix_bounds
from metamarl.algorithms.threads import WORTH_IT, default_threads, run_parts
from metamarl.envs.game import MarkovGame

if TYPE_CHECKING:
    from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent

LONG_STAGE = 500  # iterations, after which the values are held within certified bounds
SMALLEST = 1e-15  # entropy: a start's zeros become this, or the action could never be tried


class ZeroSumRun(StagedRun):
    """Both players' mirror descent; the output is a flat policy."""

    def __init__(
        self,
        options: "OptimisticMirrorDescent",
        game: MarkovGame,
        initial: NDArray[np.float64],
        starts: StageStart | None = None,
    ) -> None:
        nodes = game.nodes
        slots = nodes.slots[:, nodes.groups]
        spans = [[slice(p[g], p[g + 1]) for p in slots] for g in range(nodes.n_groups)]
        H = effective_horizon(game)
        super().__init__(H, options.output, options.resolution, initial, spans)
        self.options, self.game, self.starts = options, game, starts
        self.entropy = options.regularizer == "entropy"
        self.single = options.precision == "single"
        kind = np.float32 if self.single else np.float64
        self.lanes = LANE_BYTES // np.dtype(kind).itemsize
        counts = game.table.counts[nodes.states]
        self.layout = place(counts, self.lanes, alike=not self.entropy)
        cells, actions, games = self.layout.sizes
        # Lanes without a game hold uniform policies on zero matrices, or on none.
        self.first = aligned(actions)
        for A, B, _, p, _ in self.layout.blocks if not self.entropy else ():
            self.first[p : p + A * self.lanes] = 1.0 / A
            self.first[p + A * self.lanes : p + (A + B) * self.lanes] = 1.0 / B
        self.first[self.layout.where] = initial
        self.start_point = self.first
        if self.entropy:
            self.start_point = aligned(actions)
            self.start_point[:] = blockwise.BARRED
            self.start_point[self.layout.where] = np.log(initial)
        self.full_Q = self.Q = aligned(cells)
        self.middle = np.zeros(len(nodes.states))
        self.M, self.U, self.S = (aligned(actions, kind) for _ in range(3))
        self.V, self.eta = aligned(games, kind), aligned(games, kind)
        self.all_S, self.all_V = self.S, self.V
        if self.single:
            self.Q, self.all_S, self.all_V = aligned(cells, kind), aligned(actions), aligned(games)
        self.all_S[:] = self.first
        self.still = np.zeros_like(self.eta)
        self.eta[self.layout.lane] = self._fixed_step()
        self._share()
        self._cuts = share_out(node_work(game), 0, len(nodes.states), self.threads)
        self.values = np.zeros(len(nodes.states))
        if options.first_values == "policy":
            judge = Evaluator(game)
            judge.value(initial, 0, respond=False)
            self.values = judge.values
        self._begin(still=options.first_values == "zero")

    def _share(self) -> None:
        """Cut the blocks and the wide games into a part of about the same cost for each thread."""
        layout = self.layout
        self.threads = self.options.threads or default_threads()
        cost = [
            np.array([block_cost(A, B) for A, B in layout.blocks[:, :2].tolist()]),
            np.array([wide_cost(A, B, self.lanes) for A, B in layout.wide[:, :2].tolist()]),
        ]
        self.cost = float(cost[0].sum() + cost[1].sum())
        n = self.threads
        cuts = [
            [0, *np.searchsorted(np.cumsum(c), np.arange(1, n) * c.sum() / n).tolist(), len(c)]
            for c in cost
        ]
        room = max(1, *(layout.blocks[:, 1] * self.lanes), *self._wide_room())
        self.parts: list[Any] = [
            (
                layout.blocks[cuts[0][k] : cuts[0][k + 1]],
                layout.wide[cuts[1][k] : cuts[1][k + 1]],
                aligned(room, self.Q.dtype),
            )
            for k in range(n)
        ]
        self.whole = (layout.blocks, layout.wide, self.parts[0][2])
        self.parts = [part for part in self.parts if len(part[0]) + len(part[1])] or [self.whole]

    def _wide_room(self) -> NDArray[np.int64]:
        return self.lanes * (-(-self.layout.wide[:, :2] // self.lanes)).sum(1)

    def _fixed_step(self) -> float:
        options, table = self.options, self.game.table
        if not isinstance(options.step_size, str):
            return options.step_size
        span = float(table.reward[0].max() - table.reward[0].min()) or 1.0
        root = 1.0 if self.entropy else float(np.sqrt(table.counts.prod(1).max()))
        return 1.0 / (4.0 * self.H * span * root)

    def _begin(self, *, still: bool = False) -> None:
        if self.single:
            self.all_S += self.S
        run_parts(partial(self._prepare, still), list(pairwise(self._cuts)))
        if self.starts is not None and not still:
            self._propose(self.starts)
        self.M[:] = self.start_point
        if self.entropy:  # the first prediction: an iteration at the start, which does not leave it
            self.U[:] = self.start_point
            self._iterate(self.still, 0, 1)
        else:
            _projected_descent.predict(self.layout.blocks, self.Q, self.first, self.U)
        for sums in (self.S, self.V, self.all_S, self.all_V):
            sums[:] = 0.0

    def _prepare(self, still: bool, part: tuple[int, int]) -> None:
        """Matrices and step sizes of some nodes; the first stage plays Q = 0."""
        game, table, nodes, layout = self.game, self.game.table, self.game.nodes, self.layout
        some = slice(*part)
        shape = (table.counts, layout.cell, layout.row_step, layout.column_step)
        if not still:
            _stage_matrices.fill(
                *part, nodes.states, nodes.groups, nodes.timed, table.rows, table.reward,
                table.reward_stride, table.indptr, table.indices, table.probabilities,
                table.transition_stride, game.discount, self.values, *shape, self.full_Q,
            )  # fmt: skip
        places = (nodes.states[some], table.counts, *(place[some] for place in shape[1:]))
        if self.single and not still:
            _stage_matrices.narrow(*places, self.full_Q, self.Q, self.middle[some])
        if self.options.step_size == "adaptive":
            _step_size.adapt(
                *places, layout.x[some], layout.y[some], layout.lane[some], self.full_Q,
                self.all_S, self.eta, self.options.factor, self.entropy,
            )  # fmt: skip

    def _sums(self) -> NDArray[np.float64]:
        return self.all_S + self.S if self.single else self.all_S

    def _by_shape(
        self,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]]:
        """Nodes of one shape, their matrices `(n, A, B)`, and where their policies lie."""
        layout, counts = self.layout, self.game.table.counts[self.game.nodes.states]
        shapes, shape_of = np.unique(counts, axis=0, return_inverse=True)
        for k, (A, B) in enumerate(shapes.tolist()):
            here = np.flatnonzero(shape_of.ravel() == k)
            nodes, a, b = here[:, None], np.arange(A), np.arange(B)
            step = layout.column_step[nodes]
            rows = layout.cell[nodes] + a * layout.row_step[nodes]
            Q = self.full_Q[rows[:, :, None] + (b * step)[:, None]]
            at = np.concatenate([layout.x[nodes] + a * step, layout.y[nodes] + b * step], axis=1)
            yield here, Q, at

    def _propose(self, starts: StageStart) -> None:
        """Begin the stage where `starts` says, one shape of nodes after the other."""
        plays = self.all_S / max(self.played, 1)
        for _, Q, at in self._by_shape():
            found = ask(starts, Q, plays[at])
            self.start_point[at] = np.log(np.maximum(found, SMALLEST)) if self.entropy else found

    def _play(self, times: int) -> None:
        if self.entropy:
            self._iterate(self.eta, self.played, times)
        else:
            _projected_descent.euclidean(
                self.layout.blocks, self.Q, self.M, self.U, self.S, self.V, self.eta,
                self.options.optimism, times,
            )  # fmt: skip

    def _iterate(self, eta: NDArray[Any], done: int, times: int) -> None:
        hope = self.eta if self.options.optimism else self.still
        parts = self.parts if self.cost * times >= WORTH_IT else [self.whole]
        run_parts(partial(self._iterate_part, eta, hope, done, times), parts)

    def _iterate_part(
        self, eta: NDArray[Any], hope: NDArray[Any], done: int, times: int, part: Any
    ) -> None:
        blocks, wide, work = part
        arrays = (
            self.Q, self.M, self.U, self.S, self.V, self.all_S, self.all_V, eta, hope, work, done,
            times,
        )  # fmt: skip
        if len(blocks):
            blockwise.entropy(blocks, *arrays)
        if len(wide):
            gamewise.entropy(wide, *arrays)

    def _plays(self) -> NDArray[np.float64]:
        plays = self._sums()[self.layout.where]
        if self.single:  # float32 sums to 1 to seven digits: gaps would be off by as much of values
            slots = self.game.nodes.slots
            starts, sizes = slots[:, :-1].ravel(), np.diff(slots, axis=1).ravel()
            plays *= np.repeat(self.played / np.add.reduceat(plays, starts), sizes)
        return plays

    def _keep_values(self) -> None:
        sums = self.all_V + self.V if self.single else self.V
        self.values = sums[self.layout.lane] / self.played + self.middle
        if self.played < LONG_STAGE:
            return
        plays = self._sums()
        for nodes, Q, at in self._by_shape():
            x, y = np.split(plays[at], [Q.shape[1]], axis=1)
            x, y = x / x.sum(1, keepdims=True), y / y.sum(1, keepdims=True)
            self.values[nodes] = np.clip(self.values[nodes], *matrix_bounds(Q, (x, y)))
