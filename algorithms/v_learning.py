r"""Stage-based V-learning: decentralised learning from one's own actions and rewards alone.

Mao, Yang, Zhang, Başar: "On Improving Model-Free Algorithms for Decentralized Multi-Agent
Reinforcement Learning" (ICML 2022), after Bai, Jin & Yu (2020) and Jin, Liu, Wang & Yu (2021). No
player knows the game, nor sees what the others do: in every **episode** it acts, and gets rewards.
At every (step, state) a player keeps a value $V_h(s)$ and a policy, and visits come in stages. In a
stage of length L, action a, drawn with probability $π(a)$, has led to reward r and state s', and so
to the *target* $r + V_{h+1}(s')$, with the values of the last stages, which stand (almost) still.
The policy is mirror descent on estimates of the actions' worth from such targets; at the stage's
end the value becomes the mean target, plus a bonus, and **the policy restarts from the given
initial one**. Stages have length $L_1 = H$, then $⌊(1 + 1/H) L⌋$.

**As published** (`VLearning.published()`) the estimates are importance-weighted losses with
implicit exploration (Exp3-IX, Neu 2015), $\hat\ell(a) = 1[a\ \text{drawn}]\,\ell / (π(a) + γ)$ with
ℓ = (largest value - target) / (range of values), $η = \sqrt{\log A / (A L)}$, $γ = η / 2$; values
begin at the largest possible one, and the bonus is $c\,(\text{range}) \sqrt{A\,ι / L}$, c = 11,
here with ι = log(2A·visits). Then $Õ(H^5 S A / ε^2)$ episodes suffice for an ε-coarse correlated
equilibrium, whose marginals in zero-sum games are an ε-Nash equilibrium. The constants are
reconstructed; c between 0.1 and 1 is practical.

**The defaults are ours**, chosen by measurement (`benchmarks/v_learning.py`), and have no such
guarantee; they are as decentralised:

* the estimates are doubly robust: the action's mean target so far, plus the importance-weighted
  surprise of the one that was drawn, so that only surprises are noisy;
* the step size is $\text{factor} · \sqrt{D / \sum_t σ_t^2}$ with $σ_t^2$ the variance of estimate t
  under the policy and D the divergence to be covered, log A from the uniform policy (as the
  published one has it) and `distance` times that from a better start: what regret bounds of mirror
  descent ask for (Khodak, Balcan & Talwalkar 2019 learn D across tasks likewise). As `distance` may
  be wrong, D grows with the root of the stages' length, to log A. The scale of rewards is nothing
  to it;
* a slot without a value passes on what was really earned, so that there is nothing to unlearn;
* actions are drawn with a part $ε\,(1 + \text{visits}/100)^{-1/3}$ of the uniform policy, at first
  `exploration`, which the estimates correct for and the answer leaves out;
* stages grow by a third (and by one visit at least), whatever H is.

**The answer** is the mean policy over the last stage and the current one at every (step, state):
in zero-sum games the product of the players' means; in others the mean of the products (a
correlated policy, from seeds that the players would share), graded by its coarse correlated gap.
(The published answer is a mixture over episodes that is not Markov; ours is what can be evaluated
exactly.) The gap in `Solution` is exact: it is the experimenter's grade, taken on the model. The
learners never see it.

**Environments** that are only reset and stepped (`EpisodicEnvironment`) are learned in by the very
same update, one learner for everything that a player has seen when it was to choose. The answer is
a product policy then, graded by its Nash gap where an exact game is known, else by an estimate.

**Other clocks** are an extension of ours. Games without a horizon have one slot per state. A
discounted game is played until it is stopped, with probability 1-γ after every step, which is the
standard equivalent in which rewards are not discounted; a value that is known counts γ times. H is
⌈1/(1-γ)⌉, and for games that end by themselves a bound of their expected duration: beside the span
of the rewards the only number that the learners are told.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms import _v_learning as kernels
from metamarl.algorithms._v_learning_run import VLearningRun
from metamarl.algorithms.solver import AbstractRun, AbstractSolver
from metamarl.envs.checks import check_choice, check_real
from metamarl.envs.game import MarkovGame

WHERE = "VLearning"


@dataclass(frozen=True, kw_only=True)
class VLearning(AbstractSolver):
    """Options of stage-based V-learning; its iterations are episodes."""

    name: ClassVar[str] = "v-learning"
    max_iterations: ClassVar[int] = 1_000_000
    unit: ClassVar[str] = "episodes"
    model_free: ClassVar[bool] = True
    SMALLEST: ClassVar[float] = 1e-15
    """A start's zeros become this, or the action could never be learned."""

    step_size: str = "adaptive"
    """"adaptive" (ours: doubly robust estimates and their spread), or "theory" (Exp3-IX)."""
    factor: float = 0.7
    """Of either step size; published: 1."""
    implicit: float = 0.02
    """Implicit exploration γ, added to the probability that an estimate divides by; for "theory" in
    units of η (published: 1/2)."""
    exploration: float = 0.5
    """Part of the uniform policy in what is played at a slot's first visit (published: 0)."""
    first_values: str = "returns"
    """What slots without a value are worth: "returns" (ours): what was earned there; "optimistic"
    (published): the largest possible value."""
    bonus: float = 0.0
    """c, of the bonus of values (published: 11)."""
    growth: float | str = 1.0 / 3.0
    """By what part stages grow; "theory": 1/H."""
    distance: float | None = None
    """How far the solution is expected from the initial policy: KL divergence in parts of log A
    (mean over slots). None: 1, from which `compare` departs as the past suggests."""
    resolution: float = 0.05
    """The gap is measured whenever episodes have grown by this part, so that the episodes to a
    tolerance are known this well; 0 for the end alone."""

    def __post_init__(self) -> None:
        check_choice(self.step_size, "step_size", WHERE, ["adaptive", "theory"])
        check_real(self.factor, "factor", WHERE, above=0.0)
        check_real(self.implicit, "implicit", WHERE, 0.0)
        check_real(self.exploration, "exploration", WHERE, 0.0, 1.0)
        check_choice(self.first_values, "first_values", WHERE, ["returns", "optimistic"])
        check_real(self.bonus, "bonus", WHERE, 0.0)
        if isinstance(self.growth, str):
            check_choice(self.growth, "growth", WHERE, ["theory"])
        else:
            check_real(self.growth, "growth", WHERE, above=0.0)
        if self.distance is not None:
            check_real(self.distance, "distance", WHERE, above=0.0)
        check_real(self.resolution, "resolution", WHERE, 0.0)

    @classmethod
    def published(cls, bonus: float = 11.0) -> "VLearning":
        """The options of the paper."""
        return cls(
            step_size="theory",
            factor=1.0,
            implicit=0.5,
            exploration=0.0,
            first_values="optimistic",
            bonus=bonus,
            growth="theory",
        )

    def expecting(self, distance: float) -> "VLearning":
        """Set `distance`, unless it has been set."""
        return self if self.distance is not None else replace(self, distance=distance)

    def dial(self, horizon: int) -> NDArray[np.float64]:
        """The options as the kernels read them."""
        dial = np.zeros(7)
        dial[kernels.ADAPTIVE] = self.step_size == "adaptive"
        dial[kernels.FACTOR] = self.factor
        dial[kernels.IMPLICIT] = self.implicit
        dial[kernels.BONUS] = self.bonus
        dial[kernels.OPTIMISTIC] = self.first_values == "optimistic"
        dial[kernels.GROWTH] = 1.0 / horizon if isinstance(self.growth, str) else self.growth
        dial[kernels.EXPLORATION] = self.exploration
        return dial

    def start(self, game: MarkovGame, initial: NDArray[np.float64]) -> AbstractRun:
        """Begin from `initial`, at which every stage restarts."""
        return VLearningRun(self, game, initial)
