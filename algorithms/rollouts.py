r"""Playing policies in an environment, and what one player could gain there, estimated by learning.

Where no model is known, the gap can only be estimated from below: a single player learns to
exploit the others, who stand still (tabular Q-learning, Watkins & Dayan 1992), and what its final
greedy policy gains over the given one is averaged over fresh episodes. No best response is below
that in expectation, so that the estimate is one of a **lower bound** of the gap, and small values
mean that nothing was found to gain. A player that cannot tell the state, or forgets, is as limited
in its best response as in its policy.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.observation_policy import ObservationPolicy
from metamarl.envs.checks import check_integer, check_kind
from metamarl.envs.environment import Environment
from metamarl.envs.episodes import EpisodicEnvironment, Slot

WHERE = "estimate_gap"
Choose = Callable[[int, Any, Mapping[str, Any], NDArray[np.intp], int, int], int]
EXPLORE_LAST, EXPLORE_PART = 0.05, 0.8  # of Q-learning: falls from 1 over this part of the budget
SLOWEST = 0.02  # least step of Q-learning: what follows is still being learned
NORMAL = 1.959963984540054  # 95 %


@dataclass(eq=False)
class Story:
    """One player's part of an episode: T choices."""

    pay: list[float] = field(default_factory=list)
    """`(T,)` discounted rewards from a choice until the next one."""
    fade: list[float] = field(default_factory=list)
    """`(T,)` discount of what comes with the next choice."""
    earned: float = 0.0
    """Discounted sum of all rewards."""
    over: bool = True
    """Whether the game ended for it, or was cut off where it would go on."""


def play_episode(
    env: EpisodicEnvironment, view: Environment, seed: int, choose: Choose
) -> list[Story]:
    """Play one episode; `choose(player, observation, info, legal, step, moves)` picks in `legal`.

    `step` is how often the player has chosen before, `moves` how often anybody has moved.
    """
    view.reset(seed)
    stories = [Story() for _ in env.agents]
    since, weight, moves = np.ones(env.n_players), 1.0, 0
    while not view.over and moves < env.max_steps:
        actions = {}
        for i in view.movers:
            legal, story = view.legal(i), stories[i]
            if story.pay:
                story.fade[-1] = float(since[i])
            chosen = choose(i, view.observation(i), view.info(i), legal, len(story.pay), moves)
            actions[i] = int(legal[chosen])
            story.pay.append(0.0)
            story.fade.append(1.0)
            since[i] = 1.0
        rewards = view.step(actions)
        moves += 1
        for i, story in enumerate(stories):
            story.earned += weight * float(rewards[i])
            if story.pay:
                story.pay[-1] += float(since[i] * rewards[i])
        since *= env.discount
        weight *= env.discount
    for i, story in enumerate(stories):
        if story.pay:
            story.fade[-1] = float(since[i])
        story.over = env.discount == 1.0 or view.terminated[i]
    return stories


def earnings(
    env: EpisodicEnvironment, policy: ObservationPolicy, episodes: int, seed: int = 0
) -> NDArray[np.float64]:
    """`(episodes, n)` discounted sums of every player's rewards under `policy`."""
    rng, view = np.random.default_rng(seed), env.open(seed)
    choose = _follow(policy, rng)
    found = [
        [story.earned for story in play_episode(env, view, _number(rng), choose)]
        for _ in range(episodes)
    ]
    view.env.close()
    return np.array(found)


@dataclass(frozen=True, kw_only=True)
class GapEstimate:
    """An estimated lower bound of a policy's gap, never the gap itself."""

    gap: float
    """The estimate, at least 0: the largest gain, or where rewards cancel the sum of both."""
    low: float
    """Of its 95 % interval over episodes (normal approximation, given what the learners found)."""
    high: float
    gains: tuple[float, ...]
    """What each player's learned response gains."""
    value: tuple[float, ...]
    """What each player earns under the policy, on average."""
    episodes: int
    """How many were played in all."""

    def __str__(self) -> str:
        interval = f"95 % interval {self.low:.3g} to {self.high:.3g}"
        return f"at least about {self.gap:.3g} ({interval}; estimated by learned responses)"


def estimate_gap(
    env: EpisodicEnvironment,
    policy: ObservationPolicy,
    episodes: int = 2000,
    trials: int = 500,
    seed: int = 0,
) -> GapEstimate:
    """Estimate a lower bound of what players could gain by deviating from `policy`.

    Args:
        env: the environment.
        policy: what the others keep to.
        episodes: how many each player learns its response from.
        trials: fresh episodes, for each response and for the policy itself.
        seed: of all draws.

    Raises:
        TypeError, ValueError: a bad parameter.
    """
    check_kind(env, EpisodicEnvironment, "env", WHERE, "an EpisodicEnvironment")
    check_kind(policy, ObservationPolicy, "policy", WHERE, "an ObservationPolicy")
    episodes = check_integer(episodes, "episodes", WHERE)
    trials = check_integer(trials, "trials", WHERE, 2)
    seed = check_integer(seed, "seed", WHERE, 0)
    base = earnings(env, policy, trials, seed)
    gains = np.empty((trials, env.n_players))
    for i in range(env.n_players):
        rng, view = np.random.default_rng([seed, i]), env.open(seed)
        learner = _Exploiter(env, policy, i, rng)
        for k in range(episodes):
            learner.learn(view, k / episodes)
        response = [learner.play(view) for _ in range(trials)]
        view.env.close()
        gains[:, i] = np.array(response) - base[:, i]
    means = gains.mean(0)
    cancel = env.n_players == 2 and np.abs(base.sum(1)).max() <= 1e-9 * (1 + np.abs(base).max())
    whole = gains.sum(1) if cancel else gains[:, int(means.argmax())]
    half = NORMAL * float(whole.std(ddof=1)) / trials**0.5
    middle = float(whole.mean())
    return GapEstimate(
        gap=max(0.0, middle),
        low=max(0.0, middle - half),
        high=max(0.0, middle + half),
        gains=tuple(means.tolist()),
        value=tuple(base.mean(0).tolist()),
        episodes=trials + env.n_players * (episodes + trials),
    )


class _Exploiter:
    """Q-learning of one player against the policy of the others."""

    def __init__(
        self,
        env: EpisodicEnvironment,
        policy: ObservationPolicy,
        player: int,
        rng: np.random.Generator,
    ) -> None:
        self.env, self.player, self.rng = env, player, rng
        self.others = _follow(policy, rng)
        self.explore = 0.0
        self.values: dict[Slot, NDArray[np.float64]] = {}
        self.counts: dict[Slot, NDArray[np.float64]] = {}
        self.path: list[tuple[Slot, int]] = []

    def _choose(
        self, i: int, seen: Any, info: Mapping[str, Any], legal: NDArray[np.intp], *when: int
    ) -> int:
        if i != self.player:
            return self.others(i, seen, info, legal, *when)
        slot = self.env.slot(seen, info, when[0])
        values = self.values.setdefault(slot, np.zeros(len(legal)))
        self.counts.setdefault(slot, np.zeros(len(legal)))
        chosen = int(values.argmax())
        if self.explore and self.rng.random() < self.explore:
            chosen = int(self.rng.integers(len(legal)))
        self.path.append((slot, chosen))
        return chosen

    def play(self, view: Environment) -> float:
        """What a greedy episode earns."""
        self.path, self.explore = [], 0.0
        return play_episode(self.env, view, _number(self.rng), self._choose)[self.player].earned

    def learn(self, view: Environment, progress: float) -> None:
        """Play an episode, and learn from its end to its beginning."""
        self.path, self.explore = [], max(EXPLORE_LAST, 1.0 - progress / EXPLORE_PART)
        story = play_episode(self.env, view, _number(self.rng), self._choose)[self.player]
        following = 0.0
        for (slot, a), pay, fade in zip(
            reversed(self.path), reversed(story.pay), reversed(story.fade), strict=True
        ):
            values, counts = self.values[slot], self.counts[slot]
            counts[a] += 1
            values[a] += max(SLOWEST, 1 / counts[a]) * (pay + fade * following - values[a])
            following = float(values.max())


def _number(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31 - 1))


def _follow(policy: ObservationPolicy, rng: np.random.Generator) -> Choose:
    env = policy.env

    def choose(
        i: int, seen: Any, info: Mapping[str, Any], legal: NDArray[np.intp], step: int, moves: int
    ) -> int:
        del moves
        chances = policy.tables[i].get(env.slot(seen, info, step))
        if chances is None or len(chances) != len(legal):
            return int(rng.integers(len(legal)))
        found = int(np.searchsorted(chances.cumsum(), rng.random() * chances.sum(), "right"))
        return min(found, len(legal) - 1)

    return choose
