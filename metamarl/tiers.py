r"""Tiered reinforcement learning: learn in cheap tasks, act carefully in the costly one.

Low-tier tasks and a high-tier task with the same states, actions and horizon are learned in
parallel, one episode each at a time, from their own transitions (rewards are known). The low tiers
play optimistic value iteration and never look up; the high tier's agent may follow what they
recommend (see `metamarl.tier_agents`). Regret is what the policies of the episodes give up in
expectation, V* - V^π at the initial distribution: exact, not sampled.

Bounds on transitions are $Q = r + \hat P V ± b$, clipped to what rewards in [0, 1] can add up to,
with $N$ visits, $ℓ = \log(10 N k)$ in episode $k$ (of a low tier: $\log(10 N k W)$) and

* "bernstein": $b = c\,(\sqrt{2 \operatorname{Var}_{\hat P}(V) ℓ / N} + (H - h) ℓ / (3 N))$;
* "strong-euler" (Simchowitz and Jamieson 2019, as in Huang and He's experiments): the sum of that
  form's first-order terms in $\sqrt{2ℓ}$, of its terms in
  $\hat P (\overline V - \underline V)^2$, and of $8 S H \sqrt{2ℓ} / (3 N)$, each clipped.

Both are times a coefficient c, 1/2 as in those experiments. Rows not yet visited count as uniform.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from metamarl import _tiers_kernel as kernel
from metamarl.envs.checks import check_choice, check_integer, check_real, check_reals, complaint
from metamarl.envs.game import MarkovGame
from metamarl.tier_agents import OracleTransfer, TierAgent, find_agent
from metamarl.tier_models import TierModel, check_tiers, solve_tier
from metamarl.tier_run import Recorder, TieredRun

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
    span = _check_range(reward_range, where)
    sources = check_tiers(low, high, reward_range, where)
    found = find_agent(agent, where)
    episodes = check_integer(episodes, "episodes", where)
    seed = check_integer(seed, "seed", where, 0)
    kind = BONUSES[check_choice(bonus, "bonus", where, BONUSES)]
    coefficient = check_real(coefficient, "coefficient", where, above=0.0)
    if progress is not None and not callable(progress):
        raise TypeError(complaint("progress", where, "a function or None", progress))
    models = [solve_tier(game, reward_range[0], span) for game in (*sources, high)]
    learner = _Learner(models, high.discount, found, seed, kind, coefficient, span)
    recorder = Recorder(len(sources), episodes, high.horizon or 1, high.n_states)
    interrupted = False
    try:
        while learner.episode < episodes:
            recorder.add(learner.advance(recorder.next(learner.episode)), learner)
            if progress is not None:
                progress(learner.episode, episodes)
    except KeyboardInterrupt:
        interrupted = True
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
            "reward_range": list(reward_range),
        },
        span=span,
        interrupted=interrupted,
        **recorder.results(span),
    )


def _check_range(reward_range: Any, where: str) -> float:
    lowest, highest = check_reals(reward_range, "reward_range", where, 2)
    if not lowest < highest:
        must = "two numbers, the second one above the first"
        raise ValueError(complaint("reward_range", where, must, reward_range))
    return highest - lowest


class _Learner:
    """The arrays of a run, and the kernel that plays on."""

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
        *low, high = models
        T, (H, S), R = len(models), high.best.shape, len(high.gaps[0])
        rule = agent.rule()
        known = np.full((H, S), -1)
        if isinstance(agent, OracleTransfer):
            known = oracle_actions(low, high, agent, span)
        ceiling = np.zeros(H + 1)
        for h in range(H - 1, -1, -1):
            ceiling[h] = 1.0 + discount * ceiling[h + 1]
        timed = any(len(model.transition) > 1 for model in models)
        steps = H if timed else 1
        self.episode = 0
        self._cost = T * H * R * (S + 10)
        self._fixed = (
            high.first,
            np.stack([model.reward for model in models]),
            np.stack([np.broadcast_to(m.transition, (steps, R, S)) for m in models]),
            np.stack([model.gaps for model in models]),
            np.stack([model.initial for model in models]),
            ceiling,
            discount,
            bonus,
            coefficient,
            rule.code,
            rule.delay,
            rule.slack / span,
            rule.occupancy,
            rule.correction,
            rule.power,
            rule.evidence,
            known,
        )
        # The high tier draws from stream 0, so that a source has the same numbers wherever it is.
        places = [*range(1, T), 0]
        streams = [np.random.SeedSequence(seed, spawn_key=(p,)) for p in places]
        counted = T + (rule.code == kernel.PESSIMISTIC)
        bounds = [np.zeros((T, H + 1, S)) for _ in range(4)]
        self.by_state = np.zeros((H, S))
        """Regret of the high tier so far, by (step, state)."""
        self.trust = np.full((H, S), -1)
        """The source that the last policy followed at (step, state), or -1."""
        self.followed = np.zeros(T - 1, np.int64)
        """Steps at which the high tier did what source w recommends because it does."""
        self._state = (
            np.array([s.generate_state(1, np.uint64)[0] for s in streams]),
            np.zeros((counted, H, R)),
            np.zeros((counted, H, R, S)),
            *bounds,
            np.zeros((T, H, S)),
            *(np.zeros((T, H, S), np.int64) for _ in range(3)),
            np.zeros(T),
            np.zeros((T, H, S)),
            self.by_state,
            self.trust,
            np.full((H, S), -1),
            self.followed,
        )

    def advance(self, until: int) -> np.ndarray:
        """Play on, at most until episode `until`; the regrets `(T, n)` of these episodes."""
        most = min(MOST_EPISODES, 1 + int(WORK / self._cost))
        increments = np.empty((len(self._fixed[1]), min(until - self.episode, most)))
        kernel.run(self.episode, *self._fixed, *self._state, increments)
        self.episode += increments.shape[1]
        return increments


def oracle_actions(
    low: Sequence[TierModel], high: TierModel, agent: OracleTransfer, span: float
) -> np.ndarray:
    """`(H, S)` the optimal action where it can be transferred from some source, else -1."""
    from metamarl.tier_diagnostics import conditions

    found = conditions(low, high, agent.slack / span, agent.occupancy)
    return np.where(found.all(0).any(0), high.best, -1)
