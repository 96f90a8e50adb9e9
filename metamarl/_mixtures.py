"""Mixtures of past policies, on games and in environments that are only played."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
