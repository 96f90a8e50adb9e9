"""Why transfer helps or hurts: where sources can help, and whether they dominate the high tier."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.checks import check_real
from metamarl.envs.game import MarkovGame
from metamarl.tier_models import TierModel, check_range, check_tiers, solve_tier

ROUNDING = 1e-9  # values closer than this are the same


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class TierDiagnosis:
    """How W sources relate to the high tier, at H steps and in S states.

    A (step, state) is transferable from a source that `comes`, is `right` and is `no_better` there.
    """

    comes: NDArray[np.bool_]
    """`(W, H, S)` the source's optimal policy comes there with probability above λ/3."""
    right: NDArray[np.bool_]
    """`(W, H, S)` all optimal actions of the source are optimal in the high tier."""
    no_better: NDArray[np.bool_]
    """`(W, H, S)` the source's optimal value is at most the high tier's, plus the slack."""
    margin: NDArray[np.float64]
    """`(W, H, S)` the source's optimal value less the high tier's, in units of reward."""
    reachable: NDArray[np.bool_]
    """`(H, S)` where the high tier can come: elsewhere margins do not matter."""

    @property
    def transferable(self) -> NDArray[np.bool_]:
        """`(W, H, S)` all three conditions hold."""
        return np.asarray(self.comes & self.right & self.no_better)

    @property
    def covered(self) -> NDArray[np.bool_]:
        """`(H, S)` transferable from one source at least."""
        return np.asarray(self.transferable.any(0))

    @property
    def violation(self) -> NDArray[np.float64]:
        """`(W,)` by how much a source's optimal values fall below the high tier's, at most.

        Where the high tier can come; 0 where Optimal Value Dominance holds. Where it does not, no
        test can tell a source that is wrong from one that is right, and regret may grow without
        end.
        """
        worst = self._relevant.min((1, 2))
        return np.where(worst < -ROUNDING, -worst, 0.0)

    @property
    def excess(self) -> float:
        """By how much an optimal value of a source is above the high tier's, at most.

        With this slack no source is too good to be trusted.
        """
        return max(0.0, float(self._relevant.max()))

    @property
    def _relevant(self) -> NDArray[np.float64]:
        return np.where(self.reachable, self.margin, 0.0)

    @property
    def dominates(self) -> bool:
        """Whether Optimal Value Dominance holds for every source."""
        return not self.violation.any()

    def __repr__(self) -> str:
        return f"<TierDiagnosis: {' '.join(self.sentences())}>"

    def sentences(self) -> Iterator[str]:
        """What there is to say, in words."""
        covered = self.covered
        yield (
            f"{covered.sum()} of {covered.size} (step, state) pairs are transferable "
            f"({covered.mean():.0%})."
        )
        if self.dominates:
            yield "Optimal Value Dominance holds."
            return
        w = int(self.violation.argmax())
        h, s = np.unravel_index(self._relevant[w].argmin(), covered.shape)
        below = (self._relevant < -ROUNDING).any(0)
        yield (
            f"Optimal Value Dominance is violated at {below.sum()} pairs ({below.mean():.0%}), by "
            f"up to {self.violation[w]:.3g} (source {w}, step {h}, state {s}): negative transfer "
            "cannot be ruled out there."
        )


def diagnose_tiers(
    low: Sequence[MarkovGame],
    high: MarkovGame,
    slack: float = 0.0,
    occupancy: float = 0.3,
    reward_range: tuple[float, float] = (0.0, 1.0),
) -> TierDiagnosis:
    """Say where sources can help a high-tier task, from the tasks as they are.

    Args:
        low: the sources.
        high: the task they are for.
        slack: ε, how much better a source may be, in units of reward.
        occupancy: λ; a source comes to a state where the probability is above λ/3.
        reward_range: as for `tiered`.
    """
    where = "diagnose_tiers"
    lowest, highest = check_range(reward_range, where)
    sources = check_tiers(low, high, (lowest, highest), where)
    slack = check_real(slack, "slack", where, 0.0)
    occupancy = check_real(occupancy, "occupancy", where, 0.0, 3.0)
    span = highest - lowest
    models = [solve_tier(game, lowest, span) for game in (*sources, high)]
    return diagnose(models, slack, occupancy, span)


def diagnose(
    models: Sequence[TierModel], slack: float, occupancy: float, span: float
) -> TierDiagnosis:
    """The diagnosis of solved tasks, the sources and then the high one."""
    *low, high = models
    margin = span * np.stack([source.values - high.values for source in low])
    fits = np.stack([(source.gaps > 0.0) | (high.gaps == 0.0) for source in low])
    return TierDiagnosis(
        comes=np.stack([source.visits > occupancy / 3.0 for source in low]),
        right=np.logical_and.reduceat(fits, high.first[:-1], axis=2),
        no_better=margin <= slack + ROUNDING * span,
        margin=margin,
        reachable=high.reachable,
    )
