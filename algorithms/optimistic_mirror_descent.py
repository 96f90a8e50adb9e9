r"""Optimistic policy mirror descent with stage-based value updates, for any number of players.

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
Far from an interior equilibrium plays can circle all the same. Their averages are then still good,
but not the average values; after stages of 500 iterations and more these are therefore clipped to
$[\min (Q^⊤ \bar x),\, \max (Q \bar y)]$, where the value of Q lies (ours).

In **general-sum** games all n players do the same on $[Q^τ_{h,i} π_{h,-i}](s, ·)$, and what the
stage's joint play averages to, drawn with a shared seed at every (step, state), is an approximate
coarse correlated equilibrium: no player gains by ignoring it. Step sizes: "theory" is
$L_τ^{-1/4} / (H \sqrt n)$, whose gap falls like $T^{-3/4}$ (the regime of that paper;
reconstructed); "logarithmic" is $1 / (n H \log^4 L_τ)$, after the authors' follow-up "Õ(1/T)
convergence to (C)CE in full-information general-sum Markov games" (L4DC 2024; the constant 1 is
ours); "adaptive" is 2 (for correlated equilibria 4) over the largest span of a player's payoffs,
constant within a stage, and far faster in practice.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms._general_sum_run import GeneralSumRun
from metamarl.algorithms._zero_sum_run import SMALLEST, ZeroSumRun
from metamarl.algorithms.solver import AbstractRun, AbstractSolver
from metamarl.algorithms.stage_starts import StageStart
from metamarl.envs.checks import check_choice, check_integer, check_real, complaint
from metamarl.envs.game import MarkovGame

WHERE = "OptimisticMirrorDescent"


@dataclass(frozen=True, kw_only=True)
class OptimisticMirrorDescent(AbstractSolver):
    """Options of optimistic policy mirror descent with stage-based value updates."""

    name: ClassVar[str] = "omd"
    max_iterations: ClassVar[int] = 1_000_000

    equilibrium: str = "cce"
    """In general-sum games: "cce" (coarse correlated), or "ce" (correlated: every player runs one
    learner per own action, after Blum & Mansour 2007, so that its swap regret vanishes)."""
    regularizer: str = "entropy"
    """"entropy" (multiplicative weights), or "euclidean" (projected gradient; zero-sum only)."""
    step_size: float | str = "adaptive"
    """η; or "theory": 1/(4·H·range of the rewards), for "euclidean" divided by the root of the
    largest number of joint actions; or "adaptive" (ours, above): every stage matrix its own; or,
    for general-sum games, "logarithmic"."""
    factor: float = 0.5
    """Of the adaptive step size; in zero-sum games stable near equilibrium below 1/√3 ≈ 0.577."""
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

    precision: str = "double"
    """"double", or, in zero-sum games with entropy, "single": plays within a stage run in float32,
    several times as many at a time; their sums, values and the gap remain float64."""
    threads: int | None = None
    """Threads for zero-sum games, which change no number; None: as many as Numba would use (all
    cores, or `NUMBA_NUM_THREADS`), but one in threads and worker processes that others started.
    Small work stays in one."""

    def __post_init__(self) -> None:
        check_choice(self.precision, "precision", WHERE, ["double", "single"])
        if self.threads is not None:
            check_integer(self.threads, "threads", WHERE)
        if self.precision == "single" and self.regularizer == "euclidean":
            must = "'double' with the 'euclidean' regularizer"
            raise ValueError(complaint("precision", WHERE, must, self.precision))
        check_choice(self.regularizer, "regularizer", WHERE, ["entropy", "euclidean"])
        check_choice(self.equilibrium, "equilibrium", WHERE, ["cce", "ce"])
        check_choice(self.first_values, "first_values", WHERE, ["zero", "policy"])
        check_choice(self.output, "output", WHERE, ["last-stage", "chained", "average"])
        check_real(self.factor, "factor", WHERE, above=0.0)
        check_real(self.resolution, "resolution", WHERE, 0.0)
        if not isinstance(self.optimism, bool):
            raise TypeError(complaint("optimism", WHERE, "True or False", self.optimism))
        if isinstance(self.step_size, str):
            rules = ["theory", "adaptive", "logarithmic"]
            if self.step_size not in rules:
                must = f"a number above 0, or one of {', '.join(rules)}"
                raise ValueError(complaint("step_size", WHERE, must, self.step_size))
        else:
            check_real(self.step_size, "step_size", WHERE, above=0.0)

    def start(
        self,
        game: MarkovGame,
        initial: NDArray[np.float64],
        stages: StageStart | None = None,
    ) -> AbstractRun:
        """Begin from `initial`; ValueError where an option does not fit the game.

        In zero-sum games every stage but a first one with Q = 0 begins where `stages` says.
        """
        zero_sum = game.kind == "zero-sum"
        if self.output == "chained" and game.nodes.cyclic:
            must = "'last-stage' or 'average' in a game with cycles (its policy is stationary)"
            raise ValueError(complaint("output", WHERE, must, self.output))
        if self.regularizer == "euclidean" and not zero_sum:
            must = f"'entropy' in a {game.kind} game"
            raise ValueError(complaint("regularizer", WHERE, must, self.regularizer))
        if self.precision == "single" and not zero_sum:
            must = f"'double' in a {game.kind} game"
            raise ValueError(complaint("precision", WHERE, must, self.precision))
        if self.equilibrium == "ce" and zero_sum:
            must = "'cce' in a zero-sum game, where the answer is a Nash equilibrium"
            raise ValueError(complaint("equilibrium", WHERE, must, self.equilibrium))
        if self.step_size == "logarithmic" and zero_sum:
            must = "a number, 'theory' or 'adaptive' in a zero-sum game"
            raise ValueError(complaint("step_size", WHERE, must, self.step_size))
        if self.regularizer == "entropy":
            initial = np.maximum(initial, SMALLEST)
        if zero_sum:
            return ZeroSumRun(self, game, initial, stages)
        return GeneralSumRun(self, game, initial)
