"""Discounted zero-sum Markov games, γ = 0.9: policy iteration, Shapley iteration, homotopies.

The answer is both players' stationary policies; its error is their duality gap. sgamesolver
(logarithmic tracing) follows a path to the equilibrium of any stochastic game, which is far more
than is asked here. It is built where it is installed, by `pip install --no-build-isolation
sgamesolver` in an environment that has NumPy, Cython and setuptools; a plain `pip install` fails.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial

import numpy as np

import metamarl as mm
from contests.arrays import Array, Policies, discounted_gap_of, draw
from contests.measuring import Contest, Contestant, NotOfferedError, Work
from contests.sizes import Sizes

DISCOUNT, ACTIONS, TOL = 0.9, 5, 1e-6


def contests(sizes: Sizes) -> Iterator[Contest]:
    for S in (4,) if sizes.quick else (10, 50, 500) if sizes.large else (10, 50):
        yield contest(S, sizes)


def contest(S: int, sizes: Sizes) -> Contest:
    R, P = draw(S, 3 if sizes.quick else ACTIONS, 1, sizes.seed)
    r = R[0]
    game = mm.MarkovGame(P, np.stack([r, -r]), discount=DISCOUNT)

    def solved() -> Policies:
        policy = mm.solve(game, "exact", tol=TOL).policy
        return policy[0], policy[1]

    contestants = [
        Contestant(name="metamarl exact, certified", prepare=lambda: solved),
        Contestant(
            name="Shapley iteration over quantecon", needs=["quantecon"],
            prepare=lambda: partial(shapley(), r, P, DISCOUNT, TOL),
        ),
        Contestant(
            name="sgamesolver, logarithmic tracing", needs=["sgamesolver"], compiled=False,
            prepare=lambda: _sgamesolver(r, P, wanted=sizes.large or S < 50), tolerance=1e-4,
        ),
    ]  # fmt: skip
    return Contest(
        name=f"discounted, S={S}",
        title=f"Discounted by 0.9, {S} states, {r.shape[1]} × {r.shape[2]} actions",
        contestants=contestants,
        error=lambda answer: discounted_gap_of(r, P, DISCOUNT, answer),
        tolerance=TOL,
    )


@lru_cache
def shapley() -> Callable[[Array, Array, float, float], Policies]:
    """Shapley's iteration until MacQueen's bound of the gap is small, in one compiled loop."""
    from numba import njit
    from quantecon.optimize import minmax

    @njit
    def solve(r, P, discount, tol):
        S, A, B = r.shape
        moves = P.reshape((S * A * B, S))
        V, W = np.zeros(S), np.zeros(S)
        xs, ys = np.empty((S, A)), np.empty((S, B))
        while True:
            Q = r + discount * (moves @ V).reshape((S, A, B))
            for s in range(S):
                W[s], xs[s], ys[s] = minmax(Q[s])
            change = W - V
            V[:] = W
            if 2 * discount / (1 - discount) * (change.max() - change.min()) <= tol:
                return xs, ys

    return solve


def _sgamesolver(r: Array, P: Array, *, wanted: bool) -> Work:
    if not wanted:
        raise NotOfferedError("only with --large: it takes a minute")
    vars(np)["NaN"] = np.nan  # a name that NumPy 2 has dropped, and sgamesolver 1.0.2 asks for
    import sgamesolver

    A, B = r.shape[1:]
    game = sgamesolver.SGame([np.stack([q, -q]) for q in r], list(P), DISCOUNT)

    def work() -> Policies:
        homotopy = sgamesolver.homotopy.LogTracing(game)
        homotopy.solver_setup()
        homotopy.solver.verbose = 0
        homotopy.solve()
        x, y = np.nan_to_num(homotopy.equilibrium.strategies).transpose(1, 0, 2)
        return x[:, :A], y[:, :B]

    return work
