"""The single loop around every solver: counting, measuring, recording, deciding when to stop."""

import time
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms._solving_status import SolvingStatus
from metamarl.algorithms.correlated import CorrelatedPolicy
from metamarl.algorithms.evaluation import evaluate
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solution import Solution, SolveError, SolveInterrupted, Status, Trace
from metamarl.algorithms.solver import AbstractRun, AbstractSolver
from metamarl.algorithms.solvers import find_solver
from metamarl.algorithms.stage_starts import StageStart
from metamarl.algorithms.value_width import value_width
from metamarl.envs.checks import check_integer, check_kind, check_real, complaint
from metamarl.envs.game import MarkovGame
from metamarl.envs.sampled_game import SampledGame

if TYPE_CHECKING:
    from metamarl.algorithms.episodic import EpisodicSolution
    from metamarl.algorithms.observation_policy import ObservationPolicy
    from metamarl.envs.episodes import EpisodicEnvironment

FINE = 1e-3  # values behind a gap that steers the loop are this part of `tol` exact


@overload
def solve(
    game: MarkovGame,
    solver: str | AbstractSolver = "auto",
    init: JointPolicy | StageStart | None = None,
    tol: float = 1e-3,
    max_iterations: int | None = None,
    seed: int = 0,
    throw: bool = True,
    progress: bool = False,
) -> Solution: ...
@overload
def solve(
    game: "EpisodicEnvironment",
    solver: str | AbstractSolver = "auto",
    init: "ObservationPolicy | None" = None,
    tol: float = 1e-3,
    max_iterations: int | None = None,
    seed: int = 0,
    throw: bool = True,
    progress: bool = False,
) -> "EpisodicSolution": ...
def solve(
    game: Any,
    solver: str | AbstractSolver = "auto",
    init: Any = None,
    tol: float = 1e-3,
    max_iterations: int | None = None,
    seed: int = 0,
    throw: bool = True,
    progress: bool = False,
) -> Any:
    """Solve one Markov game, with a certified distance from equilibrium.

    Args:
        game: the game; or an `EpisodicEnvironment`, in which "v-learning" plays ("auto" too), from
            an `ObservationPolicy`, with an `EpisodicSolution`.
        solver: "auto", a name in `SOLVERS`, or an options object. "auto" is "exact" where that
            can be (zero-sum, one-player and turn-based games, the last with a horizon or without
            cycles), but "regret-matching" where zero-sum games have so many actions that it reaches
            `tol` sooner (measured: `regret_matching.CROSSOVERS`); "q-ascent" for other games of
            kind "potential", which finds a Nash equilibrium; else "omd", which finds a coarse
            correlated equilibrium.
        init: policy to start from; uniform if left out. "exact" does not need one. Or, for "omd" in
            zero-sum games, a `StageStart`, which proposes where to begin every stage.
        tol: gap to reach, in units of the game's rewards.
        max_iterations: where to give up; the solver's own limit if left out.
        seed: for solvers that draw numbers ("v-learning").
        throw: raise `SolveError` if the gap does not reach `tol`, `SolveInterrupted` (a
            KeyboardInterrupt) on Ctrl-C; both carry the solution. False: return it.
        progress: show iterations and gap on a terminal.

    Returns:
        The policy with the smallest gap that was measured, its value and its gap, both exact.

    A game that was estimated from draws is solved three times: also as either half of its draws
    has it, to tell how far its value may be off (`solution.width`).

    Raises:
        TypeError, ValueError: a bad parameter, or a game that is not for this solver.
        SolveError: see `throw`.
    """
    began = time.perf_counter()
    playing = None if isinstance(game, MarkovGame) else _environment(game)
    tol = check_real(tol, "tol", "solve", above=0.0)
    options = find_solver(solver, game, tol=tol)
    limit = options.max_iterations
    if max_iterations is not None:
        limit = check_integer(max_iterations, "max_iterations", "solve")
    seed = check_integer(seed, "seed", "solve", 0)
    if playing is not None:
        from metamarl.algorithms.episodic import solve_by_playing

        with SolvingStatus(progress, tol) as show:
            return solve_by_playing(
                playing, options, init, tol, limit, seed, throw=throw, show=show
            )
    run, first = _begin(options, game, init)
    run.wanted = tol
    run.seed(seed)
    judge = Evaluator(game, FINE * tol)
    joint = run.concept != "nash"
    if joint:
        first = CorrelatedPolicy.product(game, JointPolicy.from_flat(game, first)).flat(game)
    starts = (game.nodes.joints if joint else game.nodes.slots)[..., :-1].ravel()
    records: list[tuple[int, float, float, float | None]] = []
    best, best_gap, done = first, np.inf, 0
    status = Status.MAX_ITERATIONS
    with SolvingStatus(progress, tol) as show:
        try:
            while done < limit:
                done += run.advance(min(run.next_check(done), limit - done))
                flat = run.policy()
                if not _is_policy(flat, starts):
                    status = Status.NONFINITE
                    break
                gap = judge.gap(flat, run.concept)
                if not np.isfinite(gap):
                    status = Status.NONFINITE
                    break
                records.append((done, gap, time.perf_counter() - began, run.potential(flat)))
                show(done, gap)
                if gap < best_gap:
                    best, best_gap = flat, gap
                if best_gap <= tol and (run.finished or done >= limit or not options.settles):
                    status = Status.CONVERGED
                    break
                if run.finished:
                    status = Status.STALLED
                    break
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
    if game.nodes.cyclic or not records:  # measured to a part of `tol`, or never
        best_gap = Evaluator(game).gap(best, run.concept)
    correlated = CorrelatedPolicy.from_flat(game, best) if joint else None
    policy = correlated.marginals(game) if correlated else JointPolicy.from_flat(game, best)
    solution = Solution(
        policy=policy,
        value=evaluate(game, correlated or policy),
        gap=best_gap,
        iterations=done,
        seconds=time.perf_counter() - began,
        status=status,
        trace=_trace(records),
        solver=options,
        init=None if isinstance(init, StageStart) else init or JointPolicy.uniform(game),
        correlated=correlated,
        note=run.note,
        width=_width(game, correlated or policy, options, tol, limit),
        game=game,
    )
    if throw and status is Status.INTERRUPTED:
        raise SolveInterrupted(solution)
    if throw and not solution.converged:
        raise SolveError(solution)
    return solution


def _begin(
    options: AbstractSolver, game: MarkovGame, init: Any
) -> tuple[AbstractRun, NDArray[np.float64]]:
    """The run, and the flat policy that it begins with."""
    if isinstance(init, StageStart):
        if not isinstance(options, OptimisticMirrorDescent) or game.kind != "zero-sum":
            must = "a JointPolicy: a StageStart is for solver 'omd' on two-player zero-sum games"
            raise ValueError(complaint("init", "solve", must, init))
        first = JointPolicy.uniform(game).flat(game)
        return options.start(game, first, init), first
    if init is not None and not isinstance(init, JointPolicy):
        raise TypeError(complaint("init", "solve", "a JointPolicy or None", init))
    first = (init or JointPolicy.uniform(game)).flat(game, "solve")
    return options.start(game, first), first


def _environment(game: Any) -> "EpisodicEnvironment":
    from metamarl.envs.episodes import EpisodicEnvironment  # PettingZoo takes its time

    check_kind(game, EpisodicEnvironment, "game", "solve", "a MarkovGame")
    assert isinstance(game, EpisodicEnvironment)
    return game


def _width(
    game: MarkovGame,
    answer: JointPolicy | CorrelatedPolicy,
    options: AbstractSolver,
    tol: float,
    limit: int,
) -> NDArray[np.float64] | None:
    """How far the values of a sampled game may be off: its halves are solved in the same way."""
    if not isinstance(game, SampledGame):
        return None
    try:
        halves = [
            solve(half, options, tol=tol, max_iterations=limit, throw=False)
            for half in game.halves()
        ]
    except ValueError:  # half the draws make no game: it would never end, say
        return np.full(game.n_players, np.inf)
    return value_width(game, answer, [half.correlated or half.policy for half in halves])


def _is_policy(flat: NDArray[np.float64], starts: NDArray[np.int64]) -> bool:
    sums = np.add.reduceat(flat, starts)
    return bool((np.abs(sums - 1.0) <= 1e-6).all() and (flat >= 0.0).all())


def _trace(records: list[tuple[int, float, float, float | None]]) -> Trace:
    iteration, gap, seconds, potential = zip(*records, strict=True) if records else ((),) * 4
    known = bool(records) and None not in potential
    return Trace(
        iteration=np.array(iteration, np.int64),
        gap=np.array(gap, float),
        seconds=np.array(seconds, float),
        potential=np.array(potential, float) if known else None,
    )
