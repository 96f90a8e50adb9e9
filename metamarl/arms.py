"""The arms of a comparison at work: in turn, in worker processes, or on a cluster."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from joblib import delayed

from metamarl.algorithms.evaluation import effective_horizon
from metamarl.algorithms.neural_mirror_descent import NeuralMirrorDescent
from metamarl.algorithms.solution import Solution, Status
from metamarl.algorithms.solver import AbstractSolver
from metamarl.bounds import convergence_bound
from metamarl.comparison import Row
from metamarl.distances import similarity
from metamarl.envs.game import MarkovGame
from metamarl.fingerprint import fingerprint
from metamarl.keeping import Kept, plain_rows, read_rows
from metamarl.meta import MetaLearner
from metamarl.neural_playing import NeuralArm
from metamarl.playing import PlayingArm
from metamarl.workers import Workers, distribute

_READY: set[tuple[str, str, str]] = set()  # solvers, starts and kinds of games played here before


@dataclass(frozen=True)
class Part:
    """One arm through games of one sequence, the first of which is task `first`."""

    seed: int
    games: Sequence[MarkovGame]
    meta: MetaLearner
    first: int = 0


@dataclass(frozen=True)
class Terms:
    """What is the same for all arms."""

    solver: AbstractSolver | NeuralMirrorDescent
    tol: float
    max_iterations: int | None


def run_parts(
    chains: Sequence[Part], terms: Terms, workers: Workers, kept: Kept | None
) -> Iterator[list[Row]]:
    """Rows as they come: task by task, all arms in turn, in one process.

    Several processes, or one that keeps what it has, take an arm that learns as a whole, and first,
    because it takes longest; every other task on its own, so that Ctrl-C loses little.
    """
    parts = [part for part in chains if part.meta.learns]
    parts += [
        Part(part.seed, [game], part.meta, k)
        for part in chains
        if not part.meta.learns
        for k, game in enumerate(part.games)
    ]
    if kept is not None:
        yield from _keep(parts, terms, workers, kept)
        return
    with workers.at_work(len(parts)) as n:
        if n == 1:
            for _, group in groupby(chains, key=lambda part: part.seed):
                arms = list(group)
                running = [_run_chain(part, terms) for part in arms]
                for arm in running * len(arms[0].games):  # in turns: Ctrl-C leaves arms to compare
                    yield [next(arm)]
            return
        for _, rows in _distribute(parts, terms, n):
            yield rows


def _keep(parts: Sequence[Part], terms: Terms, workers: Workers, kept: Kept) -> Iterator[list[Row]]:
    """Rows of the parts that are there already, then of the others, kept as they come."""
    missing, digests = [], []
    for part in parts:
        digest = fingerprint(part.games, part.seed, part.first, part.meta, terms)
        rows = kept.find(digest, read_rows)
        if rows is None:
            missing.append(part)
            digests.append(digest)
        else:
            yield rows
    if not missing:
        return
    with workers.at_work(len(missing)) as n:
        for k, rows in _distribute(missing, terms, n):
            kept.put(digests[k], plain_rows(rows))
            yield rows


def _distribute(parts: Sequence[Part], terms: Terms, n: int) -> Iterator[tuple[int, list[Row]]]:
    """Number and rows of every part, in the order in which they are finished."""
    if n == 1:
        for k, part in enumerate(parts):
            yield k, list(_run_chain(part, terms))
        return
    yield from distribute([delayed(_run_part)(k, part, terms) for k, part in enumerate(parts)], n)


def _run_part(k: int, part: Part, terms: Terms) -> tuple[int, list[Row]]:
    """An arm through its games in a worker, which first plays a little, untimed.

    Loading the kernels, once per process, is then not charged to the first game.
    """
    first = part.games[0]
    modelled = isinstance(first, MarkovGame)
    kind = (repr(terms.solver), repr(part.meta), first.kind if modelled else "")
    if kind not in _READY:
        _READY.add(kind)
        few = effective_horizon(first) + 1 if modelled else 1
        brief = Terms(terms.solver, terms.tol, min(few, terms.max_iterations or few))
        list(_run_chain(Part(part.seed, [first] * 2, part.meta), brief))
    return k, list(_run_chain(part, terms))


def _playing(part: Part, terms: Terms) -> PlayingArm | NeuralArm | None:
    """What solves by playing; None where the solver reads the games."""
    if isinstance(terms.solver, NeuralMirrorDescent):
        return NeuralArm(part.meta, terms.solver, part.seed)
    return PlayingArm(part.meta, terms.solver, part.seed) if terms.solver.model_free else None


def _run_chain(part: Part, terms: Terms) -> Iterator[Row]:
    """One arm through its games, task by task."""
    meta, past = part.meta, list[Any]()
    playing = _playing(part, terms)
    for k, game in enumerate(part.games, part.first):
        began = time.perf_counter()
        solution: Any
        if playing is None:
            assert isinstance(terms.solver, AbstractSolver)
            solution = meta.solve(game, past, terms.solver, terms.tol, terms.max_iterations)
        else:
            solution = playing.solve(game, past, k, terms.tol, terms.max_iterations)
        if solution.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        modelled = isinstance(game, MarkovGame)
        zero_sum = modelled and game.kind == "zero-sum"
        past.append(solution.policy)
        if len(past) < len(part.games):
            meta = meta.after(game, solution, terms.tol)
        row = {
            "seed": part.seed,
            "task": k,
            "arm": part.meta.label,
            "iterations": solution.iterations,
            "seconds": time.perf_counter() - began,
            "gap": solution.gap,
            "value": float(solution.value[0] if zero_sum else solution.value.mean()),
            "converged": solution.converged,
            "trace": solution.trace,
            "bound": convergence_bound(game, solution) if isinstance(solution, Solution) else None,
        }
        if meta.learns and len(past) == len(part.games) and modelled:
            row["similarity"] = similarity(part.games, past)
        yield row
