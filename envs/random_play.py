"""Random play against the table that was enumerated: nothing may happen that it excludes.

Breadth-first search meets every state early in an episode. A key that leaves something out may
look right there and be wrong later on; whole episodes find that.
"""

from collections.abc import Callable, Hashable, Sequence

import numpy as np

from metamarl.envs.branching import Branch, own_generator
from metamarl.envs.copies import Token
from metamarl.envs.enumeration import END, Explored, NotMarkovError, OuterLimitError
from metamarl.envs.environment import Environment
from metamarl.envs.opening import Request

EPISODES, STEPS = 30, 60  # at most so many, and so many in each


def play_against(
    found: Explored,
    first: Sequence[Token],
    view: Environment,
    branch: Branch,
    state: Callable[[], Hashable],
    request: Request,
) -> int:
    """Play whole episodes, from resets; returns the number of steps that agreed with `found`.

    `first` leads to first states.

    Raises:
        NotMarkovError: something happened that the table excludes.
        OuterLimitError: an episode was cut off where it may go on, and the game has no clock.
    """
    rng, agreed = own_generator(request.seed, 8), 0
    index = {key: s for s, key in enumerate(found.keys)}
    for _ in range(EPISODES):
        branch.sample(int(rng.integers(2**31)))
        view.reset(request.seed)
        if (view.movers, state()) not in index:  # something is left over from an earlier episode
            first[int(rng.integers(len(first)))].restore()
        now = index.get((view.movers, state()), END)
        for _ in range(STEPS):
            choices = tuple(tuple(view.legal(i).tolist()) for i in view.movers)
            if now == END or choices != found.choices[now]:
                raise NotMarkovError("other actions are legal in random play")
            picked = [int(rng.integers(len(mine))) for mine in choices]
            shape = tuple(map(len, choices))
            row = found.rows[now][int(np.ravel_multi_index(picked, shape)) if shape else 0]
            joint = [mine[k] for mine, k in zip(choices, picked, strict=True)]
            paid = view.step(dict(zip(view.movers, joint, strict=True)))
            following = END if view.over else index.get((view.movers, state()), -2)
            targets = [target for _, target in row.outcomes]
            if following not in targets:
                if view.over and not any(view.terminated):
                    if request.timed:
                        break
                    raise OuterLimitError
                raise NotMarkovError("random play leads where the enumeration did not")
            if not found.random and not np.allclose(paid, row.reward, atol=1e-9):
                raise NotMarkovError("random play pays what the enumeration did not")
            agreed += 1
            if view.over:
                break
            now = following
    return agreed
