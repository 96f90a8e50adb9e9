r"""Does every player know the state? An exact test on the finished table.

A Markov game lets players choose by the state. In an environment they see observations, so the
game is the environment's only if each player can tell the state whenever it has a choice, from all
that it has seen and done (perfect recall). The test follows, for every player, the sets of states
that agree with what it has seen: the first set holds the possible first states that look alike; an
own action and a new observation lead to the next one. As soon as such a set holds states that are
**not equivalent** and the player has a choice, information is hidden.
"""

import itertools
from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metamarl.envs.enumeration import END, Explored

SETS_PER_STATE = 4  # how many sets are followed, per state, before the test gives up


@dataclass(frozen=True, kw_only=True)
class Information:
    """What the players know of the state."""

    hidden: tuple[int, int, int] | None
    """A player, and two states that it cannot tell apart when it has a choice; or None."""
    at_start: bool = False
    """Whether these are first states: chance was drawn at reset and kept from the player."""
    decided: bool = True
    """False where there were too many sets to follow."""
    memory: tuple[int, ...] = ()
    """Players whose last observation alone does not tell the state: they have to remember."""


def find_information(found: Explored, classes: NDArray[np.int64]) -> Information:
    """Follow what every player knows; see the module.

    Args:
        found: what was enumerated, hidden simultaneous moves joined.
        classes: `(S,)` which states are equivalent.
    """
    decided, memory = True, []
    numbers: dict[Hashable, int] = {}
    sights = [[{numbers.setdefault(x, len(numbers))} for x in seen] for seen in found.seen]
    for s, seen in found.also_seen:  # where the key leaves out what players see
        for known, x in zip(sights[s], seen, strict=True):
            known.add(numbers.setdefault(x, len(numbers)))
    n_players = len(found.seen[0])
    for player in range(n_players):
        sees = [sight[player] for sight in sights]
        choosing = [
            player in movers and len(choices[movers.index(player)]) > 1
            for movers, choices in zip(found.movers, found.choices, strict=True)
        ]
        outcome = _follow(found, classes, player, sees, choosing)
        if isinstance(outcome, tuple):
            first, second, at_start = outcome
            return Information(hidden=(player, first, second), at_start=at_start)
        decided &= outcome
        states_of: dict[int, set[int]] = {}
        for s in np.flatnonzero(choosing).tolist():
            for x in sees[s]:
                states_of.setdefault(x, set()).add(int(classes[s]))
        if any(len(states) > 1 for states in states_of.values()):
            memory.append(player)
    return Information(hidden=None, decided=decided, memory=tuple(memory))


def _follow(
    found: Explored,
    classes: NDArray[np.int64],
    player: int,
    sees: list[set[int]],
    choosing: list[bool],
) -> tuple[int, int, bool] | bool:
    """Two states that cannot be told apart, and whether they are first ones; or if all was seen."""
    steps = [_own_steps(found, s, player) for s in range(len(found))]
    first = _alike(found.start, sees)
    waiting = deque((group, True) for group in first)
    met = set(first)
    while waiting:
        group, at_start = waiting.popleft()
        if len(group) > 1:
            able = [s for s in group if choosing[s]]
            for s in able:
                if classes[s] != classes[able[0]]:
                    return able[0], s, at_start
        after: dict[int, set[int]] = {}
        for s in group:
            for action, targets in steps[s].items():
                after.setdefault(action, set()).update(targets)
        for targets in after.values():
            for following in _alike(targets, sees):
                if following not in met:
                    met.add(following)
                    waiting.append((following, False))
        if len(met) > SETS_PER_STATE * len(found) + 1000:
            return False
    return True


def _own_steps(found: Explored, state: int, player: int) -> dict[int, set[int]]:
    """The states that each action of the player may lead to."""
    movers = found.movers[state]
    at = movers.index(player) if player in movers else None
    steps: dict[int, set[int]] = {}
    joints = itertools.product(*found.choices[state])
    for joint, row in zip(joints, found.rows[state], strict=True):
        action = 0 if at is None else joint[at]
        targets = steps.setdefault(action, set())
        targets.update(t for _, t in row.outcomes if t != END)
    return steps


def _alike(states: Iterable[int], sees: list[set[int]]) -> list[frozenset[int]]:
    groups: dict[int, set[int]] = {}
    for s in states:
        for x in sees[s]:
            groups.setdefault(x, set()).add(s)
    return [frozenset(group) for group in groups.values()]
