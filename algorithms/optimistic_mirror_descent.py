r"""Optimistic policy mirror descent with stage-based value updates, for zero-sum Markov games.

Mao, Qiu, Wang, Franke, Kalbarczyk, Iyer, Başar: "Multi-Agent Meta-Reinforcement Learning: Sharper
Convergence Rates with Task Similarity" (NeurIPS 2023), the algorithm "Optimistic Online Mirror
Descent for Zero-Sum Markov Games". Time is cut into stages. In stage τ every (step, state) holds a
matrix $Q^τ_h(s)$ still, on which both players run optimistic mirror descent

$$μ^t = \arg\max_x\; η⟨x, Q^τ ν^{t-1}⟩ - D_R(x, \hat μ),\qquad
  \hat μ ← \arg\max_x\; η⟨x, Q^τ ν^t⟩ - D_R(x, \hat μ)$$

(the second player alike with $-{Q^τ}^⊤ μ$), **restarting from the given initial policies** at each
stage. At its end $Q^{τ+1}_h = r_h + P_h V^τ_{h+1}$ with the stage's average value $V^τ$, and
$L_{τ+1} = ⌊(1 + 1/H) L_τ⌋$ from $L_1 = H$, $Q^1 = 0$.

With step size 1/(4H) for rewards in [0, 1] the duality gap of the stage averages after T
iterations is $O(H^3 \max_{h,s} D_R(\text{best responses}, \text{initial policies}) / T)$: the
closer the start, the sooner. The stage rule is the authors' own; the two-sequence form, the restart
at the given policy and this constant are reconstructed. For discounted games H is the effective
horizon ⌈1/(1-γ)⌉.

The default step size is ours. Inside a stage the matrix games are independent, so that each may
have its own η. Linearised at an interior equilibrium (x, y), the optimistic dynamics of a matrix
game rotate with the singular values σ of $\sqrt{x_a y_b}\,(Q_{ab} - Q_{a·} - Q_{·b} + Q_{··})$
(dots: means under x, y) and are stable where ησ < 1/√3, the bound of optimistic gradient descent in
bilinear games. So η = 1/2 over the largest σ under the last stage's average play, which comes near
the equilibrium's, and at most 8 over the span of Q. The Euclidean regularizer has no such weights.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms import _mirror_descent as kernels
from metamarl.algorithms import _step_size
from metamarl.algorithms.evaluation import Evaluator, effective_horizon
from metamarl.algorithms.solver import AbstractRun, AbstractSolver
from metamarl.envs.checks import check_choice, check_real, complaint, said
from metamarl.envs.game import MarkovGame

LANES = kernels.LANES
SMALLEST = 1e-15  # entropy: a start's zeros become this, or the action could never be tried
WHERE = "OptimisticMirrorDescent"


@dataclass(frozen=True, kw_only=True)
class OptimisticMirrorDescent(AbstractSolver):
    """Options of optimistic policy mirror descent with stage-based value updates."""

    name: ClassVar[str] = "omd"
    max_iterations: ClassVar[int] = 1_000_000

    regularizer: str = "entropy"
    """"entropy" (multiplicative weights) or "euclidean" (projected gradient)."""
    step_size: float | str = "adaptive"
    """η; or "theory": 1/(4·H·range of the rewards), for "euclidean" divided by the root of the
    largest number of joint actions; or "adaptive" (ours, above): every stage matrix its
    own."""
    factor: float = 0.5
    """Of the adaptive step size; stable near equilibrium below 1/√3 ≈ 0.577."""
    first_values: str = "zero"
    """What the first stage takes for the values to come: "zero" (the paper's Q¹ = 0), which every
    run has to unlearn, one step a stage; or "policy" (ours): those of the initial policies, whose
    error is at most their gap, so that a good start is good at once. The same from a bad start."""
    optimism: bool = True
    """False: plain mirror descent, whose gap falls more slowly than 1/T."""
    output: str = "last-stage"
    """"last-stage": average over the last stage (the current one, while it runs); "chained": step h
    takes the average of the stage its continuation values stand on, τ - h + 1 (the theorem's; needs
    memory for H policies); "average": over all iterations (loses a factor log T)."""
    resolution: float = 0.05
    """The gap is measured at the end of each stage and whenever iterations have grown by this
    part, so that the iterations to a tolerance are known this well."""

    def __post_init__(self) -> None:
        check_choice(self.regularizer, "regularizer", WHERE, ["entropy", "euclidean"])
        check_choice(self.first_values, "first_values", WHERE, ["zero", "policy"])
        check_choice(self.output, "output", WHERE, ["last-stage", "chained", "average"])
        check_real(self.factor, "factor", WHERE, above=0.0)
        check_real(self.resolution, "resolution", WHERE, 0.0)
        if not isinstance(self.optimism, bool):
            raise TypeError(complaint("optimism", WHERE, "True or False", self.optimism))
        if isinstance(self.step_size, str):
            check_choice(self.step_size, "step_size", WHERE, ["theory", "adaptive"])
        else:
            check_real(self.step_size, "step_size", WHERE, above=0.0)

    def start(self, game: MarkovGame, initial: NDArray[np.float64]) -> "_Run":
        """Begin on a two-player zero-sum game; ValueError for any other."""
        if game.kind != "zero-sum":
            must = "a two-player zero-sum game for solver 'omd'"
            got = said(f"a {game.kind} game with {game.n_players} player(s)")
            raise ValueError(complaint("game", "solve", must, got))
        if self.output == "chained" and game.nodes.cyclic:
            must = "'last-stage' or 'average' in a game with cycles (its policy is stationary)"
            raise ValueError(complaint("output", WHERE, must, self.output))
        return _Run(self, game, initial)


class _Run(AbstractRun):
    def __init__(
        self, options: OptimisticMirrorDescent, game: MarkovGame, initial: NDArray[np.float64]
    ) -> None:
        self.options, self.game = options, game
        self.H = effective_horizon(game)
        self._place(game)
        # Padding lanes hold uniform policies on zero matrices.
        counts = self.blocks[:, :2].ravel()
        self.first = 1.0 / np.repeat(counts, counts * LANES)
        if options.regularizer == "entropy":
            initial = np.maximum(initial, SMALLEST)
        self.first[self.where] = initial
        self.start_point = (
            np.log(self.first) if options.regularizer == "entropy" else self.first.copy()
        )
        self.M, self.G, self.S = (np.empty_like(self.first) for _ in range(3))
        self.V = np.zeros(len(self.blocks) * LANES)
        self.eta = np.full(len(self.V), self._fixed_step())
        self.values = np.zeros(len(game.nodes.states))
        self.length, self.played, self.stages = self.H, 0, 0
        self.all_plays, self.all_count = np.zeros(len(self.where)), 0
        self.past = [initial] * (game.nodes.n_groups - 1)
        self.S[:] = self.first
        if options.first_values == "policy":
            judge = Evaluator(game)
            judge.value(initial, 0, respond=False)
            self.values = judge.values
        self._restart(still=options.first_values == "zero")

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
        root = 1.0
        if options.regularizer == "euclidean":
            root = float(np.sqrt(table.counts.prod(1).max()))
        return 1.0 / (4.0 * self.H * span * root)

    def _restart(self, *, still: bool = False) -> None:
        """Begin a stage: new matrices (Q = 0 in the first), the initial policies again."""
        game, table, nodes, options = self.game, self.game.table, self.game.nodes, self.options
        if not still:
            kernels.fill(
                nodes.states, nodes.groups, nodes.timed, table.rows, table.reward,
                table.reward_stride, table.indptr, table.indices, table.probabilities,
                table.transition_stride, game.discount, self.values, self.cell, self.Q,
            )  # fmt: skip
        if options.step_size == "adaptive":
            weighted = options.regularizer == "entropy"
            _step_size.adapt(self.blocks, self.Q, self.S, self.eta, options.factor, weighted, LANES)
        self.M[:] = self.start_point
        kernels.predict(self.blocks, self.Q, self.first, self.G)
        self.S[:] = 0.0
        self.V[:] = 0.0
        self.played = 0

    def advance(self, iterations: int) -> int:
        if self.played == self.length:
            self._end_stage()
        times = min(iterations, self.length - self.played)
        run = kernels.entropy if self.options.regularizer == "entropy" else kernels.euclidean
        run(
            self.blocks, self.Q, self.M, self.G, self.S, self.V, self.eta,
            self.options.optimism, times,
        )  # fmt: skip
        self.played += times
        return times

    def _end_stage(self) -> None:
        average = self._stage_average()
        if self.options.output == "chained":
            self.past = [average, *self.past[:-1]]
        self.all_plays += self.S[self.where]
        self.all_count += self.played
        self.values = self.V[self.lane_of] / self.played
        self.length = self.length * (self.H + 1) // self.H
        self.stages += 1
        self._restart()

    def _stage_average(self) -> NDArray[np.float64]:
        return self.S[self.where] / self.played

    def policy(self) -> NDArray[np.float64]:
        if self.options.output == "average":
            return (self.all_plays + self.S[self.where]) / (self.all_count + self.played)
        flat = self._stage_average()
        if self.options.output == "chained":
            groups = self.game.nodes.groups
            for i in (0, 1):
                ends = self.game.nodes.slots[i][groups]
                for g in range(1, len(groups) - 1):
                    span = slice(ends[g], ends[g + 1])
                    flat[span] = self.past[g - 1][span]
        return flat

    def next_check(self, done: int) -> int:
        check = max(1, int(self.options.resolution * done))
        if self.options.resolution == 0.0:
            check = 2**62
        return check
