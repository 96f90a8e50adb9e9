"""Staged mirror descent on a two-player zero-sum game, in lanes (see `_mirror_descent`)."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms import _mirror_descent as kernels
from metamarl.algorithms import _step_size
from metamarl.algorithms._stages import StagedRun
from metamarl.algorithms.evaluation import effective_horizon
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.stage_starts import StageStart, ask
from metamarl.envs.game import MarkovGame

if TYPE_CHECKING:
    from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent

LANES = kernels.LANES
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
        slots = game.nodes.slots[:, game.nodes.groups]
        spans = [[slice(p[g], p[g + 1]) for p in slots] for g in range(game.nodes.n_groups)]
        H = effective_horizon(game)
        super().__init__(H, options.output, options.resolution, initial, spans)
        self.options, self.game, self.starts = options, game, starts
        self._place(game)
        # Padding lanes hold uniform policies on zero matrices.
        counts = self.blocks[:, :2].ravel()
        self.first = 1.0 / np.repeat(counts, counts * LANES)
        self.first[self.where] = initial
        self.entropy = options.regularizer == "entropy"
        self.start_point = np.log(self.first) if self.entropy else self.first
        self.M, self.G = np.empty_like(self.first), np.empty_like(self.first)
        self.S = self.first.copy()
        self.V = np.zeros(len(self.blocks) * LANES)
        self.eta = np.full(len(self.V), self._fixed_step())
        self.values = np.zeros(len(game.nodes.states))
        if options.first_values == "policy":
            judge = Evaluator(game)
            judge.value(initial, 0, respond=False)
            self.values = judge.values
        self._begin(still=options.first_values == "zero")

    def _place(self, game: MarkovGame) -> None:
        """Lay the nodes out in lanes: blocks of nodes of the same shape."""
        nodes = game.nodes
        counts = game.table.counts[nodes.states]
        order = np.lexsort((counts[:, 1], counts[:, 0]))
        shapes, begins = np.unique(counts[order], axis=0, return_index=True)
        blocks: list[tuple[int, int, int, int, int]] = []
        cell, lane_of, first_policy = (np.zeros(len(order), np.int64) for _ in range(3))
        q = p = 0
        for (A, B), begin, end in zip(
            shapes.tolist(), begins, [*begins[1:], len(order)], strict=True
        ):
            for at in range(begin, end, LANES):
                here = order[at : min(at + LANES, end)]
                lanes = np.arange(len(here))
                cell[here], first_policy[here] = q + lanes, p + lanes
                lane_of[here] = len(blocks) * LANES + lanes
                blocks.append((A, B, q, p, len(blocks) * LANES))
                q, p = q + A * B * LANES, p + (A + B) * LANES
        self.blocks = np.array(blocks, np.int64)
        self.cell, self.lane_of = cell, lane_of
        self.Q = np.zeros(q)
        parts = []
        for i in (0, 1):
            slots, owner = nodes.slots[i], np.repeat(np.arange(len(order)), counts[:, i])
            inside = np.arange(slots[0], slots[-1]) - slots[owner]
            shift = counts[owner, 0] if i else 0
            parts.append(first_policy[owner] + (inside + shift) * LANES)
        self.where = np.concatenate(parts)
        """Where the numbers of a flat policy lie in the lanes."""

    def _fixed_step(self) -> float:
        options, table = self.options, self.game.table
        if not isinstance(options.step_size, str):
            return options.step_size
        span = float(table.reward[0].max() - table.reward[0].min()) or 1.0
        root = 1.0 if self.entropy else float(np.sqrt(table.counts.prod(1).max()))
        return 1.0 / (4.0 * self.H * span * root)

    def _begin(self, *, still: bool = False) -> None:
        game, table, nodes, options = self.game, self.game.table, self.game.nodes, self.options
        if not still:  # the first stage plays Q = 0
            kernels.fill(
                nodes.states, nodes.groups, nodes.timed, table.rows, table.reward,
                table.reward_stride, table.indptr, table.indices, table.probabilities,
                table.transition_stride, game.discount, self.values, self.cell, self.Q,
            )  # fmt: skip
        if options.step_size == "adaptive":
            _step_size.adapt(
                self.blocks, self.Q, self.S, self.eta, options.factor, self.entropy, LANES
            )
        if self.starts is not None and not still:
            self._propose(self.starts)
        self.M[:] = self.start_point
        kernels.predict(self.blocks, self.Q, self.first, self.G)
        self.S[:] = 0.0
        self.V[:] = 0.0

    def _propose(self, starts: StageStart) -> None:
        """Begin the stage where `starts` says, one shape of nodes after the other."""
        nodes, counts = self.game.nodes, self.game.table.counts[self.game.nodes.states]
        plays = self.S[self.where] / max(self.played, 1)
        found = np.empty_like(plays)
        for A, B in np.unique(counts, axis=0).tolist():
            here = np.flatnonzero((counts == (A, B)).all(1))
            cells = self.cell[here][:, None] + np.arange(A * B) * LANES
            first, second = (
                nodes.slots[i][here][:, None] + np.arange(k) for i, k in ((0, A), (1, B))
            )
            slots = np.concatenate([first, second], axis=1)
            found[slots] = ask(starts, self.Q[cells].reshape(-1, A, B), plays[slots])
        self.first[self.where] = np.maximum(found, SMALLEST) if self.entropy else found
        self.start_point = np.log(self.first) if self.entropy else self.first

    def _play(self, times: int) -> None:
        run = kernels.entropy if self.entropy else kernels.euclidean
        run(
            self.blocks, self.Q, self.M, self.G, self.S, self.V, self.eta,
            self.options.optimism, times,
        )  # fmt: skip

    def _plays(self) -> NDArray[np.float64]:
        return self.S[self.where]

    def _keep_values(self) -> None:
        self.values = self.V[self.lane_of] / self.played
