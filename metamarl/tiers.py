r"""Tiered reinforcement learning: learn in cheap tasks, act carefully in the costly one.

Low-tier tasks and a high-tier task with the same states, actions and horizon are learned in
parallel, one episode each at a time, from their own transitions (rewards are known). The low tiers
play optimistic value iteration and never look up; the high tier's agent may follow what they
recommend (see `metamarl.tier_agents`). Regret is what the policies of the episodes give up in
expectation, V* - V^π at the initial distribution: exact, not sampled.

Values are bounded by $Q = r + \hat P V ± b$, clipped to what rewards in [0, 1] can add up to. With
$N$ visits, $ℓ = \log(10 N k)$ in episode $k$ (of W low tiers: $\log(10 N k W)$), steps $h$ from 0
and $D = \hat P (\overline V - \underline V)^2$,

* "bernstein": $b = c\,(\sqrt{2 \operatorname{Var}_{\hat P}(V)\, ℓ / N} + (H - h)\, ℓ / (3 N))$;
* "strong-euler" (after Simchowitz and Jamieson 2019, as in Huang and He's experiments), with
  $L = \sqrt{2ℓ}$: $c$ times the sum of
  $\sqrt{2 \operatorname{Var}_{\hat P}(V)\, L / N} + 8 H L / (3 (N - 1)) + \sqrt{2 D L / N}$ and
  $\sqrt{S D L / N} + 8 S H L / (3 N)$, each clipped at $H - h$.

The variance is at least 1e-4, c is 1/2 as in those experiments, and rows not yet visited count as
uniform. A discount and other ranges of rewards change H - h accordingly.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from metamarl import _tiers_kernel as kernel
from metamarl.envs.checks import check_choice, check_integer, check_real
from metamarl.envs.game import MarkovGame
from metamarl.tier_agents import OracleTransfer, TierAgent, find_agent
from metamarl.tier_diagnostics import diagnose
from metamarl.tier_models import TierModel, check_range, check_tiers, solve_tier
from metamarl.tier_recorder import check_progress, streams, watch
from metamarl.tier_run import TieredRun

BONUSES = {"bernstein": kernel.BERNSTEIN, "strong-euler": kernel.STRONG_EULER}
WORK = 3e7  # of a call of the kernel, in products: about a tenth of a second
MOST_EPISODES = 1 << 17  # of one call


def tiered(
    low: Sequence[MarkovGame],
    high: MarkovGame,
    agent: str | TierAgent = "robust",
    episodes: int = 100_000,
    seed: int = 0,
    *,
    bonus: str = "bernstein",
    coefficient: float = 0.5,
    reward_range: tuple[float, float] = (0.0, 1.0),
    progress: Callable[[int, int], None] | None = None,
) -> TieredRun:
    """Learn low-tier tasks and a high-tier task in parallel.

    Args:
        low: W ≥ 1 sources, one-player games with a horizon.
        high: the task in which regret counts, with the same states, legal actions and clock.
        agent: "none", "naive", "robust", "pessimistic", "oracle", or a `TierAgent`.
        episodes: episodes K of every task.
        seed: every task draws from a stream of its own that depends on (seed, its place) alone.
        bonus: "bernstein" (lean) or "strong-euler" (Huang and He's experiments).
        coefficient: what the bonus is multiplied by.
        reward_range: what rewards the bonus assumes; games with others are refused.
        progress: called with the numbers of episodes done and to do.

    Returns:
        A `TieredRun`. After Ctrl-C it holds the episodes that were played.

    Raises:
        TypeError, ValueError: a bad parameter, games that are not alike or do not fit into memory.
    """
    where = "tiered"
    lowest, highest = check_range(reward_range, where)
    sources = check_tiers(low, high, (lowest, highest), where)
    found = find_agent(agent, where)
    episodes = check_integer(episodes, "episodes", where)
    seed = check_integer(seed, "seed", where, 0)
    kind = BONUSES[check_choice(bonus, "bonus", where, BONUSES)]
    coefficient = check_real(coefficient, "coefficient", where, above=0.0)
    check_progress(progress, where)
    span = highest - lowest
    models = [solve_tier(game, lowest, span) for game in (*sources, high)]
    learner = _Learner(models, high.discount, found, seed, kind, coefficient, span)
    return TieredRun(
        agent=found,
        models=models,
        config={
            "low": [repr(game) for game in sources],
            "high": repr(high),
            "agent": found.label,
            "episodes": episodes,
            "seed": seed,
            "bonus": bonus,
            "coefficient": coefficient,
            "reward_range": [lowest, highest],
        },
        span=span,
        **watch(learner, len(models), episodes, span, progress),
    )


class _Learner:
    """The arrays of a run, and the kernel that plays on (see `tier_recorder.Learner`)."""

    def __init__(
        self,
        models: Sequence[TierModel],
        discount: float,
        agent: TierAgent,
        seed: int,
        bonus: int,
        coefficient: float,
        span: float,
    ) -> None:
        high = models[-1]
        T, (H, S), R = len(models), high.best.shape, high.gaps.shape[1]
        rule = agent.rule()
        known = oracle_actions(models, agent, span)
        ceiling = np.zeros(H + 1)
        for h in range(H - 1, -1, -1):
            ceiling[h] = 1.0 + discount * ceiling[h + 1]
        steps = max(len(model.transition) for model in models)
        self.episode = 0
        self._tasks = T
        self._most = min(MOST_EPISODES, 1 + int(WORK / (T * H * R * (S + 10))))
        self._fixed = (
            high.first,
            np.stack([model.reward for model in models]),
            np.stack([np.broadcast_to(m.transition, (steps, R, S)) for m in models]),
            np.stack([model.gaps for model in models]),
            np.stack([model.initial for model in models]),
            ceiling, discount, bonus, coefficient,
            rule.code, rule.delay, rule.slack / span, rule.occupancy, rule.correction, rule.power,
            rule.evidence, known,
        )  # fmt: skip
        counted = T + (rule.code == kernel.PESSIMISTIC)
        self.by_state = np.zeros((H, S))
        self.trust = np.full((H, S), -1)
        self.followed = np.zeros(T - 1, np.int64)
        self._state = (
            streams(seed, T),
            np.zeros((counted, H, R)),
            np.zeros((counted, H, R, S)),
            *(np.zeros((T, H + 1, S)) for _ in range(4)),  # bounds, estimate and variance
            np.zeros((T, H, S)),
            *(np.zeros((T, H, S), np.int64) for _ in range(3)),  # policies
            np.zeros(T),
            np.zeros((T, H, S)),
            self.by_state,
            self.trust,
            np.full((H, S), -1),
            self.followed,
        )

    def advance(self, until: int) -> NDArray[np.float64]:
        """Play on, at most until episode `until`; the regrets `(T, n)` of these episodes."""
        increments = np.empty((self._tasks, min(until - self.episode, self._most)))
        kernel.run(self.episode, *self._fixed, *self._state, increments)
        self.episode += increments.shape[1]
        return increments


def oracle_actions(models: Sequence[TierModel], agent: TierAgent, span: float) -> NDArray[np.int64]:
    """`(H, S)` the optimal action where the oracle knows it, else -1."""
    best = models[-1].best
    if not isinstance(agent, OracleTransfer):
        return np.full(best.shape, -1)
    covered = diagnose(models, agent.slack, agent.occupancy, span).covered
    return np.where(covered, best, -1)
