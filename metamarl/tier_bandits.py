r"""Tiers of bandits: the case of one state and one step, where it is rewards that are unknown.

In round $k$ every source plays UCB, with $b = \sqrt{c \log f / N}$ and
$f = 1 + 16 A^2 (k + 1)^2$ (of W sources: $(W k + 1)^2$), and recommends the arm with the largest
lower bound. The high tier follows it under the conditions of `metamarl.tier_agents`, else it plays
UCB too (Huang and He, NeurIPS 2023; the constants in f are reconstructed. Their theory wants
c > 2; smaller ones do better in practice. They ask for $N > k/4$ pulls of the recommended arm,
which is `occupancy` 0.75).
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metamarl import _tiers_kernel as kernel
from metamarl.envs.checks import check_array, check_integer, check_real, complaint, said
from metamarl.envs.game import MarkovGame
from metamarl.tier_agents import TierAgent, find_agent
from metamarl.tier_models import TierModel, check_tiers, solve_tier
from metamarl.tier_recorder import check_progress, streams, watch
from metamarl.tier_run import TieredRun
from metamarl.tiers import oracle_actions

WHERE = "tiered_bandits"
MOST_ROUNDS = 1 << 16  # of one call of the kernel


def tiered_bandits(
    low: Sequence[ArrayLike],
    high: ArrayLike,
    agent: str | TierAgent = "robust",
    episodes: int = 100_000,
    seed: int = 0,
    *,
    coefficient: float = 0.5,
    progress: Callable[[int, int], None] | None = None,
) -> TieredRun:
    """Learn low-tier bandits and a high-tier bandit in parallel; rewards are 0 or 1.

    Args:
        low: W ≥ 1 sources, `(A,)` probabilities of a reward each.
        high: `(A,)` those of the task in which regret counts.
        agent: "none" (UCB), "naive", "robust", "pessimistic", "oracle", or a `TierAgent`.
        episodes: rounds K of every task.
        seed: every task draws from a stream of its own that depends on (seed, its place) alone.
        coefficient: c.
        progress: called with the numbers of rounds done and to do.

    Returns:
        A `TieredRun` with one step and one state. After Ctrl-C it holds the rounds that were
        played.

    Raises:
        TypeError, ValueError: a bad parameter.
    """
    target = _check_means(high, "high")
    if isinstance(low, (str, bytes)) or not isinstance(low, (Sequence, np.ndarray)):
        raise TypeError(complaint("low", WHERE, "a list of sources", low))
    sources = [_check_means(means, f"low[{w}]") for w, means in enumerate(low)]
    for w, means in enumerate(sources):
        if means.shape != target.shape:
            must = f"of shape {target.shape} as 'high'"
            raise ValueError(complaint(f"low[{w}]", WHERE, must, said(f"shape {means.shape}")))
    found = find_agent(agent, WHERE)
    episodes = check_integer(episodes, "episodes", WHERE)
    seed = check_integer(seed, "seed", WHERE, 0)
    coefficient = check_real(coefficient, "coefficient", WHERE, above=0.0)
    check_progress(progress, WHERE)
    games = [bandit(means) for means in (*sources, target)]
    check_tiers(games[:-1], games[-1], (0.0, 1.0), WHERE)
    models = [solve_tier(game, 0.0, 1.0) for game in games]
    learner = _Learner(models, found, seed, coefficient)
    return TieredRun(
        agent=found,
        models=models,
        config={
            "low": [means.tolist() for means in sources],
            "high": target.tolist(),
            "agent": found.label,
            "episodes": episodes,
            "seed": seed,
            "coefficient": coefficient,
        },
        **watch(learner, len(models), episodes, 1.0, progress),
    )


def bandit(means: NDArray[np.float64]) -> MarkovGame:
    """The game of one state and one step with these mean rewards."""
    return MarkovGame(np.ones((1, len(means), 1)), means[None, None], horizon=1, name="bandit")


def _check_means(value: ArrayLike, name: str) -> NDArray[np.float64]:
    must = "a list of probabilities, one for every arm"
    means = check_array(value, name, WHERE)
    if means.ndim != 1 or not len(means):
        raise ValueError(complaint(name, WHERE, must, said(f"shape {means.shape}")))
    if not ((means >= 0) & (means <= 1)).all():  # NaN too
        raise ValueError(complaint(name, WHERE, must, means.tolist()))
    return means


class _Learner:
    """The arrays of a run, and the kernel that plays on (see `tier_recorder.Learner`)."""

    def __init__(
        self, models: Sequence[TierModel], agent: TierAgent, seed: int, coefficient: float
    ) -> None:
        T, A = len(models), models[-1].gaps.shape[1]
        rule = agent.rule()
        self.episode = 0
        self._tasks = T
        self._fixed = (
            np.stack([model.reward[0] for model in models]),
            np.stack([model.gaps[0] for model in models]),
            coefficient, rule.code, rule.delay, rule.slack, rule.occupancy, rule.power,
            rule.evidence, int(oracle_actions(models, agent, 1.0)[0, 0]),
        )  # fmt: skip
        counted = T + (rule.code == kernel.PESSIMISTIC)
        self.by_state = np.zeros((1, 1))
        self.trust = np.full((1, 1), -1)
        self.followed = np.zeros(T - 1, np.int64)
        self._state = (
            streams(seed, T),
            np.zeros((counted, A)),
            np.zeros((counted, A)),
            self.by_state,
            self.trust,
            np.full((1, 1), -1),
            self.followed,
        )

    def advance(self, until: int) -> NDArray[np.float64]:
        """Play on, at most until round `until`; the regrets `(T, n)` of these rounds."""
        increments = np.empty((self._tasks, min(until - self.episode, MOST_ROUNDS)))
        kernel.run_bandits(self.episode, *self._fixed, *self._state, increments)
        self.episode += increments.shape[1]
        return increments
