"""One arm of a comparison through one sequence of games."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from metamarl.algorithms.evaluation import effective_horizon
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solution import Status
from metamarl.algorithms.solve import solve
from metamarl.algorithms.solver import AbstractSolver
from metamarl.comparison import Row
from metamarl.distances import divergence, similarity
from metamarl.envs.game import MarkovGame
from metamarl.meta import MetaLearner

NEAREST = 1e-3  # distance of a start from the solution, in parts of log A
_READY: set[tuple[str, str, str]] = set()  # solvers, starts and kinds of games played here before


def whole(
    seed: int, games: Sequence[MarkovGame], meta: MetaLearner, options: AbstractSolver, *rest: Any
) -> list[Row]:
    """An arm through its games in a worker, which first plays a little, untimed.

    Loading the kernels, once per process, is then not charged to the first game.
    """
    modelled = isinstance(games[0], MarkovGame)
    kind = (repr(options), repr(meta), games[0].kind if modelled else "")
    if kind not in _READY:
        _READY.add(kind)
        few = effective_horizon(games[0]) + 1 if modelled else 1
        tol, limit, _ = rest
        list(play_chain(seed, [games[0]] * 2, meta, options, tol, min(few, limit or few)))
    return list(play_chain(seed, games, meta, options, *rest))


def play_chain(
    seed: int,
    games: Sequence[MarkovGame],
    meta: MetaLearner,
    options: AbstractSolver,
    tol: float,
    max_iterations: int | None,
    first: int = 0,
) -> Iterator[Row]:
    """One arm through one sequence of games, the first of which is task `first`."""
    past: list[Any] = []
    distances: list[float] = []
    for k, game in enumerate(games, first):
        began = time.perf_counter()
        start = meta.start(game, past)
        known = start is not None and len(distances) > 0
        tuned = options.expecting(float(np.mean(distances))) if known else options
        drawn = int(np.random.SeedSequence([seed, k]).generate_state(1)[0])
        solution = solve(game, tuned, start, tol, max_iterations, drawn, throw=False)
        if solution.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        zero_sum = isinstance(game, MarkovGame) and game.kind == "zero-sum"
        past.append(solution.policy)
        distances.append(_distance(game, solution.policy, start))
        row = {
            "seed": seed,
            "task": k,
            "arm": meta.label,
            "iterations": solution.iterations,
            "seconds": time.perf_counter() - began,
            "gap": solution.gap,
            "value": float(solution.value[0] if zero_sum else solution.value.mean()),
            "converged": solution.converged,
            "trace": solution.trace,
        }
        if meta.learns and len(past) == len(games) and isinstance(game, MarkovGame):
            row["similarity"] = similarity(games, past)
        yield row


def _distance(game: Any, solution: Any, start: Any) -> float:
    """Mean KL divergence of a solution from its start, in parts of log A."""
    if isinstance(game, MarkovGame):
        most = float(np.log(game.table.counts[game.nodes.states]).sum())
        total = divergence(game, solution, start or JointPolicy.uniform(game)).sum()
    else:
        from metamarl.algorithms.observation_policy import Layout, ObservationPolicy

        space = Layout(game, [solution])
        most, p = space.most, space.flat(solution)
        q = space.flat(start or ObservationPolicy.uniform(game))
        with np.errstate(divide="ignore", invalid="ignore"):
            total = np.where(p > 0, p * np.log(p / q), 0.0).sum()
    return float(np.clip(total / most, NEAREST, 1.0)) if most else 1.0
