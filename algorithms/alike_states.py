"""Drawn states that look alike, and go on alike as far as their draws can tell.

An environment's attributes may tell states apart that do not differ in anything that matters: the
last actions, say, that a wrapper has kept. Enumerated exactly, such states are merged. Draws of two
of them differ by chance, so they are compared as samples: means of rewards, and how often each
sight comes next, within five standard errors.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.draws import Draws
from metamarl.envs.enumeration import Explored

ERRORS = 5.0  # standard errors that chance may bring about
ROUNDING = 1e-9


def find_alike(found: Explored, draws: Draws) -> NDArray[np.int64]:
    """`(S,)` a class for every state: those that look alike to all, and go on alike.

    What is hidden from a player thus shows only where it makes a difference that can be seen in the
    draws.
    """
    classes = np.arange(len(found))
    first: dict[Hashable, list[int]] = {}
    for state in range(len(found)):
        looks = (found.movers[state], found.choices[state], found.seen[state])
        for other in first.setdefault(looks, []):
            if _same(_facts(found, draws, state), _facts(found, draws, other)):
                classes[state] = other
                break
        else:
            first[looks].append(state)
    return classes


def _facts(
    found: Explored, draws: Draws, state: int
) -> list[tuple[int, dict[Hashable, int], NDArray[np.float64], NDArray[np.float64]]]:
    """Of every row: draws, how often what was seen next, means of rewards and their variances."""
    facts = []
    for row in draws.rows[state]:
        seen: dict[Hashable, int] = {}
        for target, hits in row.hits.items():
            look = "end" if target < 0 else found.seen[target]
            seen[look] = seen.get(look, 0) + sum(hits)
        sums = np.sum([np.array(pay) for pay in row.pay.values()], axis=0)
        mean = (sums[0] + sums[1]) / row.count
        variance = np.maximum(sums[2] / row.count - mean**2, 0.0)
        facts.append((row.count, seen, mean, variance))
    return facts


def _same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    for (n, seen, mean, variance), (m, seen_too, mean_too, variance_too) in zip(
        one, other, strict=True
    ):
        error = np.sqrt(variance / n + variance_too / m)
        if (np.abs(mean - mean_too) > ERRORS * error + ROUNDING).any():
            return False
        for look in seen.keys() | seen_too.keys():
            p, q = seen.get(look, 0) / n, seen_too.get(look, 0) / m
            both = (n * p + m * q) / (n + m)
            error = np.sqrt(both * (1 - both) * (1 / n + 1 / m))
            if abs(p - q) > ERRORS * error + ROUNDING:
                return False
    return True
