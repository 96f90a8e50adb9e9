"""Run the arms of a comparison: meta-learned against independent convergence."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from numbers import Integral
from typing import Any

import numpy as np

from metamarl.algorithms.neural_mirror_descent import NeuralMirrorDescent
from metamarl.algorithms.solver import AbstractSolver
from metamarl.algorithms.solvers import find_solver
from metamarl.arms import Part, Terms, run_parts
from metamarl.comparison import BASELINE, Comparison, Row
from metamarl.envs.checks import check_integer, check_real, complaint, said
from metamarl.envs.game import MarkovGame
from metamarl.installation import installed
from metamarl.keeping import Kept
from metamarl.learners import find_meta
from metamarl.meta import MetaLearner, Oracle
from metamarl.starts import LearnedStart
from metamarl.workers import Workers

Sequences = Mapping[int, Sequence[MarkovGame]]


def compare(
    tasks: Sequence[MarkovGame] | Sequences,
    meta: str | MetaLearner | Sequence[str | MetaLearner] = "robust",
    solver: str | AbstractSolver | NeuralMirrorDescent = "omd",
    tol: float = 1e-2,
    seed: int = 0,
    n_jobs: int = 1,
    max_iterations: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    backend: str = "processes",
    scheduler: str | None = None,
    keep: str | os.PathLike[str] | None = None,
) -> Comparison:
    """Solve sequences of games from scratch and from meta-learned starts.

    Every arm goes through a sequence in order; a meta-learner sees the solutions its own arm has
    found so far. The arm "none", which starts every game from the uniform policy, is always there.

    A solver that only plays the games ("v-learning") counts episodes. Then no start reads a model
    (but those of "oracle", which is a limit), and the solver is told the mean distance of an arm's
    past solutions from its starts (`AbstractSolver.expecting`): a learned start with a learned step
    size. The gap at which a game counts as solved is the exact one all the same: the grade.

    Networks that learn by self-play (`NeuralMirrorDescent`) count steps of the environment, from
    random weights ("none"), and from the starts that `learn_start` has learned on other tasks, with
    the options and the part that adapts of each. Where no exact gap is known it is NaN, and `value`
    what players earned per episode at the end.

    Args:
        tasks: related games (`metamarl.tasks`), or several sequences of them by their seed; or
            `EpisodicEnvironment` objects, in which "v-learning" and networks play.
        meta: "none", "last", "average", "robust", "select", "neural", "oracle", or a `MetaLearner`;
            or a list of them.
        solver: a solver's name or options; the same for all arms. Or `NeuralMirrorDescent`.
        tol: gap at which a game counts as solved, in units of its rewards.
        seed: seed of a single sequence, for the table; keys are taken where `tasks` has them.
        n_jobs: worker processes (-1: one per core); never more than there are parts of work, nor
            than four per core. The numbers do not depend on it.
        max_iterations: where a solve gives up.
        progress: called with the numbers of solves done and to do.
        backend: "processes" of this machine, or a cluster: "dask" or "ray" (see `workers`).
        scheduler: the cluster's address, such as "tcp://10.0.0.1:8786".
        keep: a folder for finished parts of the work, of tasks that are games. What it has of the
            same work is not done again; after a crash the same call goes on from there. Learned
            starts are told apart by their weights too.

    Returns:
        A `Comparison`. After Ctrl-C it holds the finished solves and `interrupted` is True.

    Raises:
        TypeError, ValueError: a bad parameter, or games that are not alike.
    """
    sequences = _check_tasks(tasks, seed)
    several = isinstance(meta, Sequence) and not isinstance(meta, str)
    names: Any = meta if several else [meta]
    found = [find_meta(name) for name in names]
    tol = check_real(tol, "tol", "compare", above=0.0)
    options: Any = solver
    if not isinstance(solver, NeuralMirrorDescent):
        options = find_solver(solver, next(iter(sequences.values()))[0], "compare", tol)
    _check_starts(found, options)
    if isinstance(options, AbstractSolver) and options.model_free:
        found = [learner.without_model() for learner in found]
    scratch = find_meta(BASELINE)
    arms = {learner.label: learner for learner in (scratch, *found)}
    labels = {learner.label for learner in found}
    if not found or len(labels) < len(found) or arms[BASELINE] != scratch:
        raise ValueError(complaint("meta", "compare", "one or more different learners", meta))
    if max_iterations is not None:
        max_iterations = check_integer(max_iterations, "max_iterations", "compare")
    workers = Workers(n_jobs, backend, scheduler)
    if progress is not None and not callable(progress):
        raise TypeError(complaint("progress", "compare", "a function or None", progress))
    chains = [Part(s, games, arm) for s, games in sequences.items() for arm in arms.values()]
    total = sum(len(part.games) for part in chains)
    terms = Terms(options, tol, max_iterations)
    kept = None if keep is None else Kept(keep)
    rows: list[Row] = []
    interrupted = False
    try:
        for done in run_parts(chains, terms, workers, kept):
            rows.extend(done)
            if progress is not None:
                progress(len(rows), total)
    except KeyboardInterrupt:
        interrupted = True
    order = {name: k for k, name in enumerate(arms)}
    rows.sort(key=lambda row: (row["seed"], row["task"], order[row["arm"]]))
    config = {
        "metamarl": installed(),
        "game": next(iter(sequences.values()))[0].name,
        "tasks": {str(s): {"n": len(g), "first": repr(g[0])} for s, g in sequences.items()},
        "meta": {label: arm.described() for label, arm in arms.items()},
        "solver": {"name": options.name, **asdict(options)},
        "unit": options.unit,
        "tol": tol,
        "max_iterations": max_iterations,
    }
    traces, bounds = (
        {(row["seed"], row["task"], row["arm"]): row.pop(name) for row in rows}
        for name in ("trace", "bound")
    )
    measured = [(row["seed"], row.pop("similarity")) for row in rows if "similarity" in row]
    return Comparison(
        rows=rows,
        traces=traces,
        bounds={key: bound for key, bound in bounds.items() if bound is not None},
        arms=list(arms),
        config=config,
        similarity=dict(reversed(measured)),
        interrupted=interrupted,
    )


def _check_starts(found: Sequence[MetaLearner], options: Any) -> None:
    """Raise where weights would start a table, or a table weights."""
    neural = isinstance(options, NeuralMirrorDescent)
    for learner in found:
        if learner.learns or isinstance(learner, (LearnedStart, Oracle)):
            must = "what learn_start returned, or 'none', for networks"
            if neural != isinstance(learner, LearnedStart):
                must = must if neural else "another one for solvers without networks"
                raise ValueError(complaint("meta", "compare", must, said(learner.label)))


def usual_solver(game: MarkovGame) -> str:
    """The solver that the command line takes if none is named."""
    return "q-ascent" if game.kind == "potential" else "omd"


def _check_tasks(tasks: Any, seed: int) -> Sequences:
    must = "a list of MarkovGames, or such lists by their seed, an integer"
    sequences = (
        tasks if isinstance(tasks, Mapping) else {check_integer(seed, "seed", "compare", 0): tasks}
    )
    for key, games in sequences.items():
        fine = isinstance(key, Integral) and isinstance(games, Sequence)
        kind: type = MarkovGame
        if fine and games and not isinstance(games[0], MarkovGame):
            from metamarl.envs.episodes import EpisodicEnvironment  # PettingZoo takes its time

            kind = EpisodicEnvironment
        if not fine or not all(isinstance(g, kind) for g in games):
            raise TypeError(complaint("tasks", "compare", must, tasks))
        if not games:
            raise ValueError(complaint("tasks", "compare", "at least one game", tasks))
        for k, game in enumerate(games):
            if not _alike(game, games[0]):
                must = "games of the same shape, clock and legal actions"
                got = said(f"{game!r} as task {k} after {games[0]!r}")
                raise ValueError(complaint("tasks", "compare", must, got))
    if not sequences:
        raise ValueError(complaint("tasks", "compare", "at least one game", tasks))
    return {int(key): games for key, games in sequences.items()}


def _alike(game: Any, first: Any) -> bool:
    """Whether a game has the shape and the clock of the first one."""
    if not isinstance(game, MarkovGame):
        return bool(
            game.agents == first.agents
            and game.n_actions == first.n_actions
            and game.timed == first.timed
            and game.discount == first.discount
        )
    return bool(
        game.n_states == first.n_states
        and game.n_actions == first.n_actions
        and game.horizon == first.horizon
        and game.discount == first.discount
        and all(map(np.array_equal, game.legal, first.legal))
    )
