r"""Agents of the high tier: what they make of the sources they are offered.

At every (step $h$, state $s$) a source $w$ recommends the action $π_{w,h}(s)$ that pessimistic
value iteration on its own data finds. Huang and He (NeurIPS 2023) follow it where

$$\underline V_{w,h}(s) ≤ \tilde Q_h(s, π_{w,h}(s)) + ε  \quad\text{and}\quad
\max_a N_{w,h}(s, a) > \tfrac{λ}{3} k$$

after $k$ episodes: the source's lower bound must not be above what the high tier may still hope for
(a source whose optimal values are no smaller than the high tier's, and whose action is bad there,
fails this sooner or later), and the source must visit the state all the time. Among several such
sources **Trust till Failure** keeps the one trusted so far. (Where a source has several optimal
actions, the recommendation is any of them, and may change: only where all of them are optimal in
the high tier is following right.)

Every wrong trust is paid for until it fails, and with bounds that are far too wide early on that
costs most at the start; the published experiments therefore switch transfer on after 5 % of all
episodes (`delay`), a number that nobody knows in advance. `evidence` (ours) needs none. It adds a
test to the two conditions. Let $\hat V_w$ be the plug-in estimate of what the source's policy is
worth in the source, $\hat Q$ that of the recommended action in the high tier, $σ^2$ the sum of
their variances, and $\hatΔ_w$ the estimated gap between the recommended and the second-best action
in the source. The source is followed where also

$$z_1 σ ≤ \hatΔ_w  \quad\text{and}\quad  \hat V_w - \hat Q ≤ z_2 σ + ε.$$

The first (`power`) says that enough is known for an action that is worse by such a gap to show; the
second (`evidence`) that it has not shown. Variances follow from the transitions' by the delta
method, summed along the policy, so that they need neither H nor the number of episodes, and shrink
as fast as they can: long before bounds that hold for all states and episodes at once. Exploration
that is done anyway pays for most of the test.

Both conditions only take trust away, so what bounds the cost of wrong trusts still does. That right
ones end regret for good is not proved: a z-score strays beyond a constant $z_2$ in the end. (Were σ
exact, by the law of the iterated logarithm only where $\sqrt{2 \log \log N} > z_2$: for 4, never in
practice.) The two numbers were chosen on permuted and identical tasks; `benchmarks/tiers.py` has
others, drawn anew.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import e
from typing import ClassVar, NamedTuple

from metamarl import _tiers_kernel as kernel
from metamarl.envs.checks import check_choice, check_integer, check_real, complaint
from metamarl.labels import labelled


class Rule(NamedTuple):
    """An agent as the kernel reads it."""

    code: int
    delay: int = 0
    slack: float = 0.0
    occupancy: float = 0.0
    correction: float = 0.0
    power: float = 0.0
    evidence: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TierAgent(ABC):
    """The high tier's agent; its options are its fields."""

    name: ClassVar[str]

    @property
    def label(self) -> str:
        """The name, with the options that differ from their defaults: "robust(delay=1000)"."""
        return labelled(self)

    @abstractmethod
    def rule(self) -> Rule:
        """The agent as the kernel reads it."""


@dataclass(frozen=True, kw_only=True)
class NoTransfer(TierAgent):
    """Optimistic value iteration on the high tier's own data: what transfer is measured against."""

    name: ClassVar[str] = "none"

    def rule(self) -> Rule:
        """The agent as the kernel reads it."""
        return Rule(kernel.NONE)


@dataclass(frozen=True, kw_only=True)
class NaiveTransfer(TierAgent):
    """Follows any source that visits the state all the time, and never asks whether it is right."""

    name: ClassVar[str] = "naive"
    delay: int = 0
    """Episodes before transfer begins."""
    occupancy: float = 0.3
    """λ: a source is followed where it has been in more than λ/3 of all episodes."""

    def __post_init__(self) -> None:
        check_integer(self.delay, "delay", "NaiveTransfer", 0)
        check_real(self.occupancy, "occupancy", "NaiveTransfer", 0.0, 3.0)

    def rule(self) -> Rule:
        """The agent as the kernel reads it."""
        return Rule(kernel.NAIVE, self.delay, 0.0, self.occupancy)


@dataclass(frozen=True, kw_only=True)
class RobustTransfer(TierAgent):
    r"""Huang and He (NeurIPS 2023), from one source or several, with `evidence` of ours.

    As published: `RobustTransfer(evidence=None, delay=…)`. The theorem's slack is
    $\tildeΔ / (4 (H + 1))$ (its constant is reconstructed), where no gap of the high tier is below
    $\tildeΔ$; the authors' experiments have 0.
    """

    name: ClassVar[str] = "robust"
    delay: int = 0
    """Episodes before transfer begins."""
    slack: float = 0.0
    """ε: how much better a source may be and still be followed, in units of reward."""
    occupancy: float = 0.3
    """λ: a source is followed where it has been in more than λ/3 of all episodes."""
    correction: float = 1.0 / e
    """Part of (upper - lower bound) / H that is added to the value of a followed action. The theory
    has 1, the authors' code 1/e."""
    evidence: float | None = 4.0
    """z: standard deviations of doubt in the test; None: no test, as published."""

    power: float = 3.0
    """What the gap must be, in such standard deviations, for a test to begin."""

    def __post_init__(self) -> None:
        where = "RobustTransfer"
        check_integer(self.delay, "delay", where, 0)
        check_real(self.slack, "slack", where, 0.0)
        check_real(self.occupancy, "occupancy", where, 0.0, 3.0)
        check_real(self.correction, "correction", where, 0.0)
        check_real(self.power, "power", where, 0.0)
        if self.evidence is not None:
            check_real(self.evidence, "evidence", where, above=0.0)

    def rule(self) -> Rule:
        """The agent as the kernel reads it."""
        return Rule(
            kernel.ROBUST, self.delay, self.slack, self.occupancy, self.correction,
            self.power, self.evidence or 0.0,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PessimisticTransfer(TierAgent):
    """Pessimistic value iteration on the data of all tiers (Huang et al. NeurIPS 2022).

    Made for low tiers that are the high tier itself; regret then does not grow. Where they differ
    nothing protects it.
    """

    name: ClassVar[str] = "pessimistic"

    def rule(self) -> Rule:
        """The agent as the kernel reads it."""
        return Rule(kernel.PESSIMISTIC)


@dataclass(frozen=True, kw_only=True)
class OracleTransfer(TierAgent):
    """Knows where a source is right, and plays optimally there from the first episode on.

    Elsewhere it learns as without transfer: what is left of regret cannot be transferred away.
    """

    name: ClassVar[str] = "oracle"
    slack: float = 0.0
    """How much better a transferable source may be, in units of reward."""
    occupancy: float = 0.3
    """λ: how often the source's optimal policy comes to a transferable state, at least."""

    def __post_init__(self) -> None:
        check_real(self.slack, "slack", "OracleTransfer", 0.0)
        check_real(self.occupancy, "occupancy", "OracleTransfer", 0.0, 3.0)

    def rule(self) -> Rule:
        """The agent as the kernel reads it."""
        return Rule(kernel.ORACLE)


TIER_AGENTS: dict[str, type[TierAgent]] = {
    agent.name: agent
    for agent in (NoTransfer, NaiveTransfer, RobustTransfer, PessimisticTransfer, OracleTransfer)
}


def find_agent(agent: str | TierAgent, where: str) -> TierAgent:
    """An agent from its name, or itself."""
    if isinstance(agent, str):
        return TIER_AGENTS[check_choice(agent, "agent", where, TIER_AGENTS)]()
    if not isinstance(agent, TierAgent):
        must = f"a TierAgent or one of {', '.join(TIER_AGENTS)}"
        raise TypeError(complaint("agent", where, must, agent))
    return agent
