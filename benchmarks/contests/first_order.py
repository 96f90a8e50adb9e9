"""Learning dynamics until the duality gap of a Markov game is small enough.

Mirror descent with one step size for all: the same stages and iterations in all libraries, as many
as metamarl needed, counted beforehand; to 1e-3 only with `--large`. metamarl measures its gap along
the way in the time that is taken, the others do not measure theirs. Regret matching leaves a step's
matrix games when the gap of the worst of them is the tolerance over the horizon.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np

import metamarl as mm
from contests import same_dynamics
from contests.arrays import Array, Policies, backup, draw, game_of, gap_of
from contests.measuring import Contest, Contestant, NotOfferedError, Work
from contests.sizes import Sizes

ETA = 2.0  # for rewards in [0, 1]; not tuned


def contests(sizes: Sizes) -> Iterator[Contest]:
    shapes = [(6, 3, 3)] if sizes.quick else [(50, 5, 10)]
    shapes += [(500, 10, 10)] if sizes.large else []
    for S, A, H in shapes:
        for tol in (1e-2,) if sizes.quick else (1e-2, 1e-3):
            yield contest(S, A, H, tol, sizes)


def contest(S: int, A: int, H: int, tol: float, sizes: Sizes) -> Contest:
    R, P = draw(S, A, H, sizes.seed)
    game = game_of(R, P)
    fixed = mm.OptimisticMirrorDescent(step_size=ETA)

    def own(solver: Any) -> Callable[[], Work]:
        def work() -> Policies:
            policy = mm.solve(game, solver, tol=tol).policy
            return policy[0], policy[1]

        return lambda: work

    def slow(prepare: Callable[[], Work]) -> Callable[[], Work]:
        def prepare_if_wanted() -> Work:
            if tol < 1e-2 and not sizes.large:
                raise NotOfferedError("only with --large: many seconds for each")
            return prepare()

        return prepare_if_wanted

    @lru_cache
    def needed() -> int:
        return mm.solve(game, fixed, tol=tol).iterations

    def staged(make: Callable[[], Any]) -> Callable[[], Work]:
        return slow(lambda: partial(stages, R, P, make(), needed()))

    contestants = [
        Contestant(name="metamarl omd, one step size", prepare=slow(own(fixed))),
        Contestant(name="metamarl omd, its own step sizes", prepare=slow(own("omd"))),
        Contestant(name="metamarl regret matching", prepare=own("regret-matching")),
        Contestant(name="metamarl exact", prepare=own("exact")),
        Contestant(
            name="numpy omd", compiled=False,
            prepare=staged(lambda: same_dynamics.numpy_entropy),
        ),
        Contestant(
            name="JAX omd, jitted", needs=["jax"], threads="all",
            prepare=staged(same_dynamics.jax_entropy),
        ),
        Contestant(
            name="numpy regret matching", compiled=False,
            prepare=lambda: partial(backward, R, P, same_dynamics.numpy_match, tol / H),
        ),
        Contestant(
            name="JAX regret matching, jitted", needs=["jax"], threads="all",
            prepare=lambda: partial(backward, R, P, same_dynamics.jax_match(), tol / H),
        ),
    ]  # fmt: skip
    return Contest(
        name=f"to a gap of {tol:g}, S={S}",
        title=f"To a gap of {tol:g}, {S} states, {A} × {A} actions, horizon {H}",
        contestants=contestants,
        error=lambda answer: gap_of(R, P, answer),
        tolerance=tol * (1 + 1e-6),
    )


def stages(R: Array, P: Array, iterate: Any, iterations: int) -> Policies:
    """Staged mirror descent: values of the last stage's average play, restarts from uniform."""
    H, S, A, B = R.shape
    Q, length, done = np.zeros_like(R), H, 0
    while True:
        times = min(length, iterations - done)
        games = np.ascontiguousarray(Q.reshape(H * S, A, B).transpose(1, 2, 0))
        xs, ys, values = map(np.asarray, iterate(games, ETA, times))
        done += times
        if done == iterations:
            return xs.T.reshape(H, S, A), ys.T.reshape(H, S, B)
        later = np.vstack([values.reshape(H, S)[1:], np.zeros((1, S))])
        Q = R + (later @ P.reshape(-1, S).T).reshape(R.shape)
        length = length * (H + 1) // H


def backward(R: Array, P: Array, match: Any, gap: float) -> Policies:
    """Backward induction around a solver of all matrix games of a step at once."""
    H, S, A, B = R.shape
    V, xs, ys = np.zeros(S), np.empty((H, S, A)), np.empty((H, S, B))
    for h in range(H - 1, -1, -1):
        Q = backup(R[h], P, V)
        x, y = match(np.ascontiguousarray(Q.transpose(1, 2, 0)), gap)
        xs[h], ys[h] = np.asarray(x).T, np.asarray(y).T
        low = np.einsum("sab,sa->sb", Q, xs[h]).min(1)
        high = np.einsum("sab,sb->sa", Q, ys[h]).max(1)
        V = 0.5 * (low + high)
    return xs, ys
