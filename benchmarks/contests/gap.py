"""The duality gap of given policies in a finite-horizon game: two best responses, exactly.

Every library reads the transitions once per step; `P·V` for both best responses at once in NumPy
and JAX. metamarl stores the transitions as sparse rows, which cost half as much again to read where
nothing is zero, as here.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

import metamarl as mm
from contests.arrays import Array, Policies, draw, game_of, gap_of
from contests.measuring import Contest, Contestant, Work
from contests.sizes import Sizes


def contests(sizes: Sizes) -> Iterator[Contest]:
    for S, A, H in [(6, 3, 3)] if sizes.quick else [(50, 5, 10), (500, 10, 10)]:
        yield contest(S, A, H, sizes.seed)


def contest(S: int, A: int, H: int, seed: int) -> Contest:
    R, P = draw(S, A, H, seed)
    rng = np.random.default_rng(seed + 1)
    policies = rng.dirichlet(np.ones(A), (H, S)), rng.dirichlet(np.ones(A), (H, S))
    right = gap_of(R, P, policies)
    contestants = [
        Contestant(name="metamarl nash_gap", prepare=lambda: _own(R, P, policies)),
        Contestant(name="numpy einsum", prepare=lambda: lambda: gap_of(R, P, policies)),
        Contestant(
            name="numpy, both responses at once", threads="all",
            prepare=lambda: lambda: _together(R, P, policies),
        ),
        Contestant(
            name="JAX, jitted", needs=["jax"], threads="all", prepare=lambda: _jax(R, P, policies)
        ),
    ]  # fmt: skip
    return Contest(
        name=f"gap, S={S}",
        title=f"Nash gap of a policy, {S} states, {A} × {A} actions, horizon {H}",
        contestants=contestants,
        error=lambda gap: abs(gap - right),
        tolerance=1e-9,
        unit="gap",
    )


def _own(R: Array, P: Array, policies: Policies) -> Work:
    game, policy = game_of(R, P), mm.JointPolicy(policies)
    return lambda: mm.nash_gap(game, policy)


def _together(R: Array, P: Array, policies: Policies) -> float:
    S = P.shape[0]
    moves, V = P.reshape(-1, S), np.zeros((S, 2))
    for r, x, y in zip(R[::-1], policies[0][::-1], policies[1][::-1], strict=True):
        upper, lower = (moves @ V).T.reshape(2, *r.shape)
        V[:, 0] = np.matmul(r + upper, y[:, :, None])[:, :, 0].max(1)
        V[:, 1] = np.matmul(x[:, None, :], r + lower)[:, 0].min(1)
    return float((V[:, 0] - V[:, 1]).mean())


def _jax(R: Array, P: Array, policies: Policies) -> Work:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    S = P.shape[0]

    @jax.jit
    def run(R: Any, moves: Any, x: Any, y: Any) -> Any:
        def step(V: Any, now: Any) -> Any:
            r, x, y = now
            upper, lower = (moves @ V).T.reshape(2, *r.shape)
            best = jnp.einsum("sab,sb->sa", r + upper, y).max(1)
            worst = jnp.einsum("sab,sa->sb", r + lower, x).min(1)
            return jnp.stack([best, worst], 1), None

        V, _ = jax.lax.scan(step, jnp.zeros((S, 2)), (R, x, y), reverse=True)
        return (V[:, 0] - V[:, 1]).mean()

    given = [jnp.asarray(a) for a in (R, P.reshape(-1, S), *policies)]
    return lambda: float(run(*given))
