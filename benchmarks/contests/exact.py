"""Solving finite-horizon zero-sum Markov games exactly: one matrix game per step and state.

The answer is both players' policies; its error is their duality gap. Building the `MarkovGame`,
which checks the arrays, is timed in one row of its own; `mm.solve` certifies its answer in the time
that is measured, the others do not.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np

import metamarl as mm
from contests import ours
from contests.arrays import Array, Policies, backup, draw, game_of, gap_of
from contests.measuring import Contest, Contestant, NotOfferedError, Work
from contests.sizes import Sizes

Solver = Callable[[Array], tuple[Array, Array]]


def contests(sizes: Sizes) -> Iterator[Contest]:
    shapes = [(6, 3, 3)] if sizes.quick else [(50, 5, 10), (500, 10, 10)]
    for S, A, H in shapes:
        yield contest(S, A, H, sizes, python=sizes.large or S < 500)


def contest(S: int, A: int, H: int, sizes: Sizes, *, python: bool) -> Contest:
    R, P = draw(S, A, H, sizes.seed)
    game = game_of(R, P)

    def each(make: Callable[[], Solver]) -> Callable[[], Work]:
        def prepare() -> Work:
            if not python:
                raise NotOfferedError("only with --large: a program of its own for each matrix")
            return partial(backward, R, P, make())

        return prepare

    def built() -> Policies:
        policy = mm.solve(game_of(R, P), "exact", tol=1e-6).policy
        return policy[0], policy[1]

    def solved() -> Policies:
        policy = mm.solve(game, "exact", tol=1e-6).policy
        return policy[0], policy[1]

    slow = {"compiled": False}
    contestants = [
        Contestant(name="metamarl exact, certified", prepare=lambda: solved),
        Contestant(name="metamarl exact, no certificate", prepare=lambda: ours.exact_pass(game)),
        Contestant(name="metamarl, building the game too", prepare=lambda: built),
        Contestant(
            name="quantecon minmax, one compiled pass", needs=["quantecon"],
            prepare=lambda: partial(compiled_pass(), R, P),
        ),
        Contestant(
            name="quantecon minmax, from Python", needs=["quantecon"],
            prepare=lambda: partial(backward, R, P, _quantecon()),
        ),
        Contestant(name="scipy HiGHS", needs=["scipy"], prepare=each(lambda: highs), **slow),
        Contestant(name="nashpy", needs=["nashpy"], prepare=each(_nashpy), **slow),
        Contestant(
            name="pygambit lp_solve", needs=["pygambit"], prepare=each(_pygambit), **slow
        ),
        Contestant(
            name="OpenSpiel lp_solver", needs=["pyspiel", "cvxpy"], prepare=each(_openspiel),
            tolerance=1e-5, **slow,
        ),
    ]  # fmt: skip
    return Contest(
        name=f"exact, S={S}",
        title=f"Exact solution, {S} states, {A} × {A} actions, horizon {H}",
        contestants=contestants,
        error=lambda answer: gap_of(R, P, answer),
        tolerance=1e-8,
    )


def backward(R: Array, P: Array, solve: Solver) -> Policies:
    """Backward induction around a solver of one matrix game."""
    H, S, A, B = R.shape
    V, xs, ys = np.zeros(S), np.empty((H, S, A)), np.empty((H, S, B))
    for h in range(H - 1, -1, -1):
        Q = backup(R[h], P, V)
        for s in range(S):
            xs[h, s], ys[h, s] = solve(Q[s])
        V = np.einsum("sab,sa,sb->s", Q, xs[h], ys[h])
    return xs, ys


@lru_cache
def compiled_pass() -> Callable[[Array, Array], Policies]:
    """All of `backward` in one compiled loop around QuantEcon's simplex."""
    from numba import njit
    from quantecon.optimize import minmax

    @njit
    def solve(R, P):
        H, S, A, B = R.shape
        moves = P.reshape((S * A * B, S))
        V, W = np.zeros(S), np.zeros(S)
        xs, ys = np.empty((H, S, A)), np.empty((H, S, B))
        for h in range(H - 1, -1, -1):
            Q = R[h] + (moves @ V).reshape((S, A, B))
            for s in range(S):
                W[s], xs[h, s], ys[h, s] = minmax(Q[s])
            V[:] = W
        return xs, ys

    return solve


def highs(Q: Array) -> tuple[Array, Array]:
    """Largest v with Qᵀx ≥ v; the multipliers are the second player's policy."""
    from scipy.optimize import linprog

    A, B = Q.shape
    found = linprog(
        np.append(np.zeros(A), -1.0),
        A_ub=np.hstack([-Q.T, np.ones((B, 1))]), b_ub=np.zeros(B),
        A_eq=np.append(np.ones(A), 0.0)[None], b_eq=[1.0],
        bounds=[(0, None)] * A + [(None, None)], method="highs",
    )  # fmt: skip
    return _policy(found.x[:A]), _policy(-found.ineqlin.marginals)


def _policy(weights: Any) -> Array:
    weights = np.maximum(np.ravel(weights), 0.0)
    return weights / weights.sum()


def _quantecon() -> Solver:
    from quantecon.optimize import minmax

    return lambda Q: minmax(Q)[1:]


def _nashpy() -> Solver:
    import nashpy

    return lambda Q: nashpy.Game(Q).linear_program()


def _pygambit() -> Solver:
    import pygambit

    kind = getattr(pygambit, "StrategicGame", pygambit.Game)  # from version 17 on

    def solve(Q: Array) -> tuple[Array, Array]:
        game = kind.from_arrays(Q, -Q)
        found = pygambit.nash.lp_solve(game, rational=False)
        profile = found.equilibrium if hasattr(found, "equilibrium") else found.equilibria[0]
        x, y = (
            [float(profile[player][str(k + 1)]) for k in range(size)]
            for player, size in zip("12", Q.shape, strict=True)
        )
        return np.array(x), np.array(y)

    return solve


def _openspiel() -> Solver:
    import pyspiel
    from open_spiel.python.algorithms import lp_solver

    def solve(Q: Array) -> tuple[Array, Array]:
        game = pyspiel.create_matrix_game(Q.tolist(), (-Q).tolist())
        x, y, *_ = lp_solver.solve_zero_sum_matrix_game(game)
        return _policy(x), _policy(y)

    return solve
