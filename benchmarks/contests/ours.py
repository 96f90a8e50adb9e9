"""Every way in which the contests enter metamarl behind its public names: adapt it here alone."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

import metamarl as mm
from contests.arrays import Array, Policies
from contests.measuring import NotOfferedError
from metamarl.algorithms.evaluator import Evaluator


def mirror_descent(**options: Any) -> mm.OptimisticMirrorDescent:
    """Options of `omd`, some of which not every version has."""
    known = {field.name for field in dataclasses.fields(mm.OptimisticMirrorDescent)}
    for name in set(options) - known:
        raise NotOfferedError(f"no option {name!r}")
    return mm.OptimisticMirrorDescent(**options)


def iterate(Q: Array, eta: float, times: int, **options: Any) -> Callable[[], Policies]:
    """Iterate one stage on N fixed matrices `(N, A, B)`; average plays from uniform ones.

    N one-step games are a Markov game of N states and horizon 1, whose stage matrices are its
    rewards from the first stage on where that begins with the values of the policies.
    """
    N, A, B = Q.shape
    moves = np.zeros((N, A, B, N))
    if moves.nbytes > 2**30:
        import scipy.sparse as sp

        rows = np.arange(N * A * B)
        moves = sp.csr_array((np.ones(len(rows)), (rows, rows // (A * B))), (len(rows), N))
    else:
        moves[np.arange(N), :, :, np.arange(N)] = 1.0
    game = mm.MarkovGame(moves, np.stack([Q, -Q]), horizon=1)
    first = mm.JointPolicy.uniform(game).flat(game)
    solver = mirror_descent(step_size=eta, first_values="policy", **options)
    run: Any = solver.start(game, first)
    run.length = times

    def work() -> Policies:
        run._begin()
        run.played = 0
        run.advance(times)
        flat = run.policy()
        return flat[: N * A].reshape(N, A), flat[N * A :].reshape(N, B)

    return work


def exact_pass(game: mm.MarkovGame) -> Callable[[], Policies]:
    """Backward induction alone: no certificate, no solution object."""
    first = mm.JointPolicy.uniform(game).flat(game)

    def work() -> Policies:
        run = mm.Exact().start(game, first)
        run.advance(1)
        policy = mm.JointPolicy.from_flat(game, run.policy())
        return policy[0], policy[1]

    return work


def values_by_state(game: mm.MarkovGame, policy: mm.JointPolicy) -> dict[Any, float]:
    """Player 0's value from every state, by the state's name; without a horizon."""
    judge = Evaluator(game)
    judge.value(policy.flat(game), 0, respond=False)
    assert game.states is not None
    where = game.nodes.states
    return {game.states[s]: float(v) for s, v in zip(where, judge.values, strict=True)}
