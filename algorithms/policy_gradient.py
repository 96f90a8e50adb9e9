r"""Independent policy gradients for Markov potential games, any number of players.

All players step at once from the exact values of the current policy π, each along its own
$\bar Q_i^π(s, a_i) = E_{a_{-i} \sim π_{-i}} Q_i^π(s, a)$:

* "q-ascent": $π_i(s) ← \mathrm{Proj}(π_i(s) + η \bar Q_i^π(s, ·))$ onto the simplex (Ding, Wei,
  Zhang and Jovanović, "Independent policy gradient for large-scale Markov potential games", ICML
  2022);
* "pg", the exact gradient: the same with $η\,d^π(s)$, where $d^π(s)$ are the expected (discounted)
  visits (Leonardos, Overman, Panageas and Piliouras, "Global convergence of multi-agent policy
  gradient in Markov potential games", ICLR 2022). States that are not visited do not learn;
* "npg", the natural gradient of softmax policies: $π_i(a_i|s) ∝ π_i(a_i|s) \exp(η \bar Q_i^π)$
  (Zhang, Mei, Dai, Schuurmans and Li, NeurIPS 2022; Sun, Liu, Zhou, Kumar and Shahrampour,
  NeurIPS 2023, whose η is ours times 1-γ). Probabilities are kept from falling under $10^{-15}$.

**What is guaranteed** (derived here). Let interests be identical or transitions independent of
actions, and f the multilinear function of the play at one node that is $E\,Q^π(s, ·)$ or the stage
potential. By the performance difference lemma $Φ(π') - Φ(π) = \sum_s d^{π'}(s) (f_s(π') - f_s(π))$.
With k players who have a choice, A actions at most, Q-values that span σ (largest minus smallest)
and steps Δ_i,

$$f(π') - f(π) ≥ \sum_i ⟨∇_i f, Δ_i⟩ - \tfrac{(k-1)σ}{4} \sum_i \|Δ_i\|_1^2,$$

while $⟨∇_i f, Δ_i⟩ ≥ \|Δ_i\|_2^2 / η ≥ \|Δ_i\|_1^2 / (ηA)$ for projections, and at least
$\|Δ_i\|_1^2 / η$ for "npg" (Pinsker). So **the potential cannot fall** if at every node

$$η ≤ \frac{4}{(k-1)\,σ\,A} \quad\text{("npg": without the A)},$$

with η d(s) for η in "pg". In two-by-two coordination this is sharp. At half of it
$\sum_s d^{π'}(s) \|Δ(s)\|_2^2 ≤ 2η\,(Φ(π') - Φ(π))$ for "q-ascent", for "pg" with η d(s)/d^{π'}(s).
A projected step's length also bounds what a deviation at its node can gain, so that the mean Nash
gap of T policies is $O(\sqrt{(Φ(π^T) - Φ(π^0)) / (ηT)})$: the less potential there is left to gain
from the start, the sooner (Mao et al., NeurIPS 2023, on potential games; reconstructed).

**Step sizes.** A number is η for rewards as they are. "theory" is, with n players, at most A
actions, rewards of span 1, and H the horizon or 1/(1-γ): for "q-ascent" $1 / (8 S^3 n A H^4)$
(Ding et al., with the number of states S for the smaller of S and an unknown mismatch coefficient),
for "pg" $1 / (2 n A H^3)$ (Leonardos et al., less the γ in their denominator), both reconstructed;
for "npg" $4 / ((n-1) H)$, from the bound above. "safe" (ours) is half of that bound with every
node's own k, A and σ, anew in every iteration; for "pg" the largest η for which that holds at all
nodes at once. "adaptive" (ours) starts there and goes 1.25 times as far after every step that
raised the potential; one that did not is taken back, and the next goes half as far, but never less
than "safe". It is "safe" where no potential is known.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms import _policy_gradient as kernels
from metamarl.algorithms._policy_gradient_run import AscentRun, PotentialMeter
from metamarl.algorithms.evaluation import effective_horizon
from metamarl.algorithms.evaluator import expected_duration
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solver import AbstractRun, AbstractSolver
from metamarl.envs.checks import check_choice, check_real, complaint, said
from metamarl.envs.game import MarkovGame
from metamarl.envs.potential import by_structure, find_potential


@dataclass(frozen=True, kw_only=True)
class IndependentAscent(AbstractSolver):
    """Options that all independent policy gradients share."""

    rule: ClassVar[int]
    max_iterations: ClassVar[int] = 100_000

    step_size: float | str = "adaptive"
    """η, in units of 1 / reward; or "theory", "safe" or "adaptive": see the mathematics above."""
    resolution: float = 0.05
    """The gap is measured whenever iterations have grown by this part, so that the iterations to
    a tolerance are known this well; 0 for the end alone."""

    def __post_init__(self) -> None:
        where = type(self).__name__
        check_real(self.resolution, "resolution", where, 0.0)
        if isinstance(self.step_size, str):
            check_choice(self.step_size, "step_size", where, ["theory", "safe", "adaptive"])
        else:
            check_real(self.step_size, "step_size", where, above=0.0)

    def start(self, game: MarkovGame, initial: NDArray[np.float64]) -> AbstractRun:
        """Begin on a potential game; ValueError for a game that is certainly none."""
        rows, note = self._judge(game)
        if self.rule == kernels.NATURAL:
            initial = np.maximum(initial, kernels.SMALLEST)
        return AscentRun(
            game,
            initial,
            rule=self.rule,
            eta=self.fixed_step(game),
            search=self.step_size == "adaptive" and rows is not None,
            resolution=self.resolution,
            rows=rows,
            note=note,
        )

    def fixed_step(self, game: MarkovGame) -> float | None:
        """η where it is one number for the whole run, else None."""
        if self.step_size == "theory":
            return self._theory(game) / (float(np.ptp(game.compact.reward, axis=1).max()) or 1.0)
        return None if isinstance(self.step_size, str) else float(self.step_size)

    def _judge(self, game: MarkovGame) -> tuple[NDArray[np.float64] | None, str]:
        """Stage potential to be followed, and what to say of it."""
        if game.kind == "potential":
            found = by_structure(game)
            if found:
                return found.rows, ""
            note = (
                "The declared potential is one of the stage games. Transitions depend on actions, "
                "so that it need not be one of the whole game, and may fall on the way."
            )
            return game.potential, note
        found = find_potential(game)
        if found.status == "not potential":
            got = said(f"a game that is none: {found.reason.rstrip('.')}")
            must = f"a potential game for solver '{self.name}'"
            raise ValueError(complaint("game", "solve", must, got))
        if found.status == "unknown":
            note = f"Whether this is a potential game could not be decided. {found.reason}"
            return None, note
        return found.rows, ""

    @abstractmethod
    def _theory(self, game: MarkovGame) -> float:
        """η for rewards of span 1."""


@dataclass(frozen=True, kw_only=True)
class QAscent(IndependentAscent):
    """Options of independent projected Q-ascent (Ding et al. 2022)."""

    name: ClassVar[str] = "q-ascent"
    rule: ClassVar[int] = kernels.ASCENT

    def _theory(self, game: MarkovGame) -> float:
        n, A, H = _sizes(game)
        return 1.0 / (8.0 * game.n_states**3 * n * A * H**4)


@dataclass(frozen=True, kw_only=True)
class PolicyGradient(IndependentAscent):
    """Options of the exact independent policy gradient, projected (Leonardos et al. 2022)."""

    name: ClassVar[str] = "pg"
    rule: ClassVar[int] = kernels.GRADIENT

    def _theory(self, game: MarkovGame) -> float:
        n, A, H = _sizes(game)
        return 1.0 / (2.0 * n * A * H**3)


@dataclass(frozen=True, kw_only=True)
class NaturalPolicyGradient(IndependentAscent):
    """Options of the independent natural policy gradient, softmax (Sun et al. 2023)."""

    name: ClassVar[str] = "npg"
    rule: ClassVar[int] = kernels.NATURAL

    def _theory(self, game: MarkovGame) -> float:
        n, _, H = _sizes(game)
        return 4.0 / (max(1, n - 1) * H)


def _sizes(game: MarkovGame) -> tuple[int, int, float]:
    """n, the largest number of actions, and H: 1/(1-γ) for discounted games with cycles."""
    H = expected_duration(game) if game.nodes.cyclic else float(effective_horizon(game))
    return game.n_players, max(int(mask.sum(1).max()) for mask in game.legal), H


def potential_meter(game: MarkovGame) -> PotentialMeter | None:
    """What values the game's potential at flat policies; None where no potential is known."""
    found = by_structure(game)
    rows = found.rows if found else game.potential
    return None if rows is None else PotentialMeter(game, rows)


def potential_value(game: MarkovGame, policy: JointPolicy) -> float:
    """Value of the game's potential at `policy`: its stage potential's expected (discounted) sum.

    Raises ValueError for a game that neither declares a potential nor surely has one.
    """
    flat = policy.flat(game, "potential_value")
    meter = potential_meter(game)
    if meter is None:
        must = "a game that declares a potential, or surely has one"
        got = said(f"a {game.kind} game")
        raise ValueError(complaint("game", "potential_value", must, got))
    return meter(flat)
