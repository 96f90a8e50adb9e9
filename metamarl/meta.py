r"""Meta-learners: where to start the next game, from the equilibria of the last ones.

Optimistic mirror descent converges the sooner, the closer its start is to equilibrium, in
Kullback-Leibler divergence per (step, state). For every Bregman divergence the start with the
smallest total divergence from the past is their mean (Follow the Leader is the running mean; Mao
et al. NeurIPS 2023; Harris et al. ICLR 2023), mixed with a part α of the uniform policy, because an
action that a start excludes costs infinitely much when it is needed:

$$\tilde π^k_{h}(s) = (1-α) \frac{1}{k-1} \sum_{j<k} π^j_h(s) + α \frac{1}{A}$$

How much is α? Too little hurts when tasks differ, too much throws away what was learned.
`Robust` reads α off the game at hand, one per (step, state), from an exact certificate: how much
smaller the gap of the mean policy is there than that of the uniform one. Unrelated tasks give a
ratio near 1 and a start close to uniform, which costs no more than log 1/α in divergence. Where the
game can only be played, no certificate can be had; α then is what would have predicted every past
solution best from the other ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from metamarl._mixtures import Flat, certified, interpolation, mean, mixture
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.exact import is_exactly_solvable
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.policy_gradient import (
    IndependentAscent,
    NaturalPolicyGradient,
    potential_meter,
)
from metamarl.algorithms.solution import Solution, SolveError
from metamarl.algorithms.solve import solve
from metamarl.algorithms.solver import AbstractSolver
from metamarl.algorithms.stage_starts import StageStart
from metamarl.envs.checks import check_choice, check_real, complaint
from metamarl.envs.game import MarkovGame
from metamarl.labels import labelled
from metamarl.racing import ascend


@dataclass(frozen=True, kw_only=True)
class MetaLearner(ABC):
    """Chooses where to start; the options of a meta-learner are its fields.

    A meta-learner has no state that changes: it is a function of the game and of the solved ones
    before it.
    """

    name: ClassVar[str]
    learns: ClassVar[bool] = True
    """False where `start` does not look at `past`: the games can then be solved in any order."""

    @property
    def label(self) -> str:
        """The name, with the options that differ from their defaults: "robust(caution=5.0)"."""
        return labelled(self)

    def described(self) -> dict[str, Any]:
        """The name and the options, in plain values."""
        return {"name": self.name, **asdict(self)}

    def without_model(self) -> "MetaLearner":
        """What stands in for this learner where games can only be played, and their model not read.

        Itself, for learners that look at past solutions alone.
        """
        return self

    def after(self, game: MarkovGame, solution: Solution, tol: float) -> "MetaLearner":  # noqa: ARG002
        """The learner for the games that come after this one, which was solved to `tol`.

        Itself, if past policies are all it needs. One that learns from the games too returns a new
        one; this one stays as it is.
        """
        return self

    @abstractmethod
    def start(
        self, game: MarkovGame, past: Sequence[JointPolicy]
    ) -> JointPolicy | StageStart | None:
        """Where to start `game`, given the solutions of the games before; None: uniform."""

    def solve(
        self,
        game: MarkovGame,
        past: Sequence[JointPolicy],
        solver: AbstractSolver,
        tol: float,
        max_iterations: int | None,
    ) -> Solution:
        """Solve `game` after the ones before: once, from `start`.

        A learner that runs several starts does so here, and returns all iterations that it spent.
        """
        return solve(game, solver, self.start(game, past), tol, max_iterations, throw=False)


@dataclass(frozen=True, kw_only=True)
class Scratch(MetaLearner):
    """Every game from the uniform policy: independent learning."""

    name: ClassVar[str] = "none"
    learns: ClassVar[bool] = False

    def start(self, game: MarkovGame, past: Sequence[JointPolicy]) -> None:  # noqa: ARG002
        """Nothing is carried over."""
        return


@dataclass(frozen=True, kw_only=True)
class _Smoothed(MetaLearner):
    smoothing: float = 0.05
    """Part α of the uniform policy."""

    def __post_init__(self) -> None:
        check_real(self.smoothing, "smoothing", type(self).__name__, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Last(_Smoothed):
    """The last game's solution, mixed with a part α of the uniform policy."""

    name: ClassVar[str] = "last"

    def start(self, game: MarkovGame, past: Sequence[JointPolicy]) -> JointPolicy | None:
        """Mix the last solution; None without one."""
        return mixture(game, past[-1:], self.smoothing) if past else None


@dataclass(frozen=True, kw_only=True)
class Average(_Smoothed):
    """The smoothed running mean of all solutions so far (Mao et al. 2023, for the zero-sum case).

    Never far from the best fixed start for related games; α = 0.05 is a choice of ours.
    """

    name: ClassVar[str] = "average"

    def start(self, game: MarkovGame, past: Sequence[JointPolicy]) -> JointPolicy | None:
        """Mix the mean solution; None without one."""
        return mixture(game, past, self.smoothing) if past else None


@dataclass(frozen=True, kw_only=True)
class Robust(MetaLearner):
    r"""The running mean, smoothed as much as a certificate on the game at hand demands (ours).

    With $g$ the duality gap from a (step, state) on under the mean policy, divided by that under
    the uniform policy, $α = c g^2 / (1 + c g^2)$ there, and at least `least`. It costs two
    measurements of the gap before the first iteration, which are not counted as iterations. The
    rule is empirical: on random games the α that needed the fewest iterations grew about with
    $g^2$, whatever their number and spread (`benchmarks/meta_spread.py` measures what it saves).

    In potential games, for solvers by gradient ascent, a learned start can hold the ascent at a
    worse equilibrium than a start from scratch would find. There it begins from the past solution
    with the highest potential, if that is nearly an equilibrium of the game at hand; where there is
    reason for doubt it runs from scratch too and keeps the higher potential, all iterations counted
    (see `metamarl.racing`).

    With `certificate="past"` no model is read: α, one for all slots, maximises the likelihood
    $\prod_j \prod_a ((1-α) \bar π^{-j}(a) + α/A)^{π^j(a)}$ of every past solution under the mean of
    the others (deleted interpolation, Jelinek & Mercer 1980). Past solutions that have nothing in
    common give α = 1; a game that is unlike all of them cannot be noticed beforehand.
    `benchmarks/episodes.py` measures what that saves.
    """

    name: ClassVar[str] = "robust"

    caution: float = 25.0
    """c: larger values stay closer to uniform."""
    least: float = 0.01
    """Smallest part of the uniform policy."""
    certificate: str = "exact"
    """What α is read off: "exact", gaps on the game at hand; or "past", the past solutions. With
    solvers that only play the games, `compare` takes the latter."""

    def solve(
        self,
        game: MarkovGame,
        past: Sequence[JointPolicy],
        solver: AbstractSolver,
        tol: float,
        max_iterations: int | None,
    ) -> Solution:
        """Solve `game`; by gradient ascent in a potential game, guard against bad equilibria."""
        if not past or not isinstance(solver, IndependentAscent):
            return super().solve(game, past, solver, tol, max_iterations)
        meter = potential_meter(game)
        if meter is None:
            return super().solve(game, past, solver, tol, max_iterations)
        limit = max_iterations or solver.max_iterations
        part = self.least if isinstance(solver, NaturalPolicyGradient) else 0.0
        return ascend(game, past, solver, meter, tol, limit, part)

    def __post_init__(self) -> None:
        check_choice(self.certificate, "certificate", "Robust", ["exact", "past"])
        check_real(self.caution, "caution", "Robust", 0.0)
        check_real(self.least, "least", "Robust", 0.0, 1.0)

    def without_model(self) -> "Robust":
        """With α from the past solutions."""
        return replace(self, certificate="past")

    def start(self, game: MarkovGame, past: Sequence[JointPolicy]) -> JointPolicy | None:
        """Mix the mean solution node by node; None without one."""
        if not past:
            return None
        if self.certificate == "past":
            return mixture(game, past, max(self.least, interpolation(game, past)))
        middle = mean(Flat(game), past)
        return certified(game, Evaluator(game), middle, self.caution, self.least)


@dataclass(frozen=True, kw_only=True)
class Oracle(_Smoothed):
    """The game's own equilibrium, from the exact solver: the limit no meta-learner can beat."""

    name: ClassVar[str] = "oracle"
    learns: ClassVar[bool] = False

    smoothing: float = 0.0
    """Part α of the uniform policy."""

    def start(
        self,
        game: MarkovGame,
        past: Sequence[JointPolicy],  # noqa: ARG002
    ) -> JointPolicy:
        """Solve the game and mix the solution; ValueError where `exact` cannot."""
        if not is_exactly_solvable(game):
            must = "a learner other than 'oracle' for games that 'exact' cannot solve"
            raise ValueError(complaint("meta", "compare", must, game))
        try:
            solution = solve(game, "exact")
        except SolveError as error:  # large rewards: rounding error alone may be above 'tol'
            solution = error.solution
        return mixture(game, [solution.policy], self.smoothing)
