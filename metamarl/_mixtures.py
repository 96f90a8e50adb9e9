"""Mixtures of past policies, on games and in environments that are only played."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.policy import JointPolicy
from metamarl.envs.game import MarkovGame

UNTRIED = 0.1  # α after one solution, when there is no other to predict it from
HALVINGS = 30  # of the interval in which α is sought


class Flat:
    """Flat policies of a Markov game; `Layout` is the same for environments that are played."""

    def __init__(self, game: MarkovGame) -> None:
        self.game = game

    def flat(self, policy: JointPolicy) -> NDArray[np.float64]:
        return policy.flat(self.game, "MetaLearner")

    def uniform(self) -> NDArray[np.float64]:
        return self.flat(JointPolicy.uniform(self.game))

    def policy(self, flat: NDArray[np.float64]) -> JointPolicy:
        return JointPolicy.from_flat(self.game, flat)


def _laid_out(game: Any, past: Sequence[Any]) -> Any:
    """A `Flat`, or a `Layout` of the slots that past policies know."""
    if isinstance(game, MarkovGame):
        return Flat(game)
    from metamarl.algorithms.observation_policy import Layout  # PettingZoo takes its time

    return Layout(game, past)


def mean(space: Any, past: Sequence[Any]) -> NDArray[np.float64]:
    total = space.flat(past[0]).copy()
    for policy in past[1:]:
        total += space.flat(policy)
    return total / len(past)


def mixture(game: Any, past: Sequence[Any], part: float) -> Any:
    space = _laid_out(game, past)
    return space.policy((1.0 - part) * mean(space, past) + part * space.uniform())


def certified(
    game: MarkovGame, judge: Evaluator, learned: NDArray[np.float64], caution: float, least: float
) -> JointPolicy:
    """The policy with, at every node, a part α = c g² / (1 + c g²) of the uniform one.

    g is its gap from the node on, divided by that of the uniform policy; α is at least `least`.
    """
    uniform = JointPolicy.uniform(game).flat(game)
    own, scratch = judge.node_gaps(learned), judge.node_gaps(uniform)
    trifle = 1e-12 * max(1.0, float(scratch.max()))
    odds = caution * ((own + trifle) / (scratch + trifle)) ** 2
    part = np.maximum(least, odds / (1.0 + odds))
    part = np.concatenate([np.repeat(part, np.diff(slots)) for slots in game.nodes.slots])
    return JointPolicy.from_flat(game, (1.0 - part) * learned + part * uniform)


def interpolation(game: Any, past: Sequence[Any]) -> float:
    """The α under which every past solution is likeliest, given the mean of the others."""
    if len(past) < 2:
        return UNTRIED
    space = _laid_out(game, past)
    flats, uniform = np.stack([space.flat(policy) for policy in past]), space.uniform()
    others = (flats.sum(0) - flats) / (len(past) - 1)
    decides = uniform < 1.0  # elsewhere there is one action
    flats, others, uniform = flats[:, decides], others[:, decides], uniform[decides]
    if not uniform.size:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):  # the logarithm of the likelihood is concave
        part = (low + high) / 2
        rising = (flats * (uniform - others) / ((1.0 - part) * others + part * uniform)).sum() > 0
        low, high = (part, high) if rising else (low, part)
    return high
