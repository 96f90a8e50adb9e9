"""Markov games with many actions, to 1e-4 of the largest reward times the horizon.

The games of `benchmarks/large_actions.py`, which measures more sizes and tolerances: 2 states,
horizon 2, four matrix games in all.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from large_actions import draw

import metamarl as mm
from contests.arrays import Policies, gap_of
from contests.exact import backward, compiled_pass, highs
from contests.measuring import Contest, Contestant, Work
from contests.sizes import Sizes

RELATIVE = 1e-4


def contests(sizes: Sizes) -> Iterator[Contest]:
    for actions in (8,) if sizes.quick else (64, 128, 256):
        yield contest(actions, sizes.seed)


def contest(actions: int, seed: int) -> Contest:
    game = draw(actions, 2, 2, seed, normal=False)
    rng = np.random.default_rng(seed)  # the same draws again, as arrays
    reward = rng.random((2, actions, actions))
    P = rng.dirichlet(np.full(2, 0.2), reward.shape)
    R = np.stack([reward, reward])
    tol = RELATIVE * 2 * float(np.abs(reward).max())

    def own(solver: str) -> Callable[[], Work]:
        def work() -> Policies:
            policy = mm.solve(game, solver, tol=tol).policy
            return policy[0], policy[1]

        return lambda: work

    contestants = [
        Contestant(name="metamarl auto", prepare=own("auto")),
        Contestant(name="metamarl exact", prepare=own("exact")),
        Contestant(name="metamarl regret matching", prepare=own("regret-matching")),
        Contestant(
            name="quantecon minmax, one compiled pass", needs=["quantecon"],
            prepare=lambda: partial(compiled_pass(), R, P),
        ),
        Contestant(
            name="scipy HiGHS", needs=["scipy"], compiled=False,
            prepare=lambda: partial(backward, R, P, highs),
        ),
    ]  # fmt: skip
    return Contest(
        name=f"{actions} actions",
        title=f"{actions} × {actions} actions, to a relative gap of 1e-4",
        contestants=contestants,
        error=lambda answer: gap_of(R, P, answer),
        tolerance=tol,
    )
