"""Solving an environment by playing it: the loop, and what it returns."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms._v_learning_episodes import EpisodesRun
from metamarl.algorithms.evaluation import evaluate
from metamarl.algorithms.observation_policy import ObservationPolicy
from metamarl.algorithms.rollouts import GapEstimate, estimate_gap
from metamarl.algorithms.solution import SolveError, SolveInterrupted, Status, Trace
from metamarl.algorithms.solver import AbstractSolver
from metamarl.algorithms.v_learning import VLearning
from metamarl.envs.checks import complaint
from metamarl.envs.episodes import EpisodicEnvironment

FIRST_ESTIMATE = 1000  # episodes; then whenever they have doubled, for estimates take many


@dataclass(frozen=True, kw_only=True)
class EpisodicSolution:
    """What was learned by playing, and how good it is, as far as that can be told."""

    policy: ObservationPolicy
    """The measured policy with the smallest exact gap, or the last one that was estimated:
    `policy.act(agent, observation, info)` plays it."""
    value: NDArray[np.float64]
    """`(n,)` what every player earns: exactly, or on average over the estimate's episodes."""
    gap: float
    """Exact Nash gap on the environment's exact game, where `exact`; else an estimated lower bound
    of it: see `estimate`."""
    exact: bool
    """Whether `gap` and `value` are exact."""
    estimate: GapEstimate | None
    """Where not exact: the estimate with its interval."""
    iterations: int
    """Episodes learned from. Those of estimates are not among them: they only grade."""
    seconds: float
    """Wall time, measurements included."""
    status: Status
    """How it ended."""
    trace: Trace
    """The gap along the way, exact or estimated."""
    solver: AbstractSolver
    """The options."""
    note: str = ""
    """What there is to say."""

    @property
    def converged(self) -> bool:
        """Whether the gap, or the upper end of its estimate's interval, is at most `tol`."""
        return self.status in (Status.CONVERGED, Status.ESTIMATED)

    def __repr__(self) -> str:
        kind = "exact" if self.exact else "an estimated lower bound"
        return (
            f"EpisodicSolution({self.status.name.lower()}, gap={self.gap:.3g} ({kind}), "
            f"episodes={self.iterations}, seconds={self.seconds:.3g}, solver={self.solver})"
        )


def solve_by_playing(
    env: EpisodicEnvironment,
    options: AbstractSolver,
    init: ObservationPolicy | None,
    tol: float,
    limit: int,
    seed: int,
    *,
    throw: bool,
    show: Callable[[int, float], None],
) -> EpisodicSolution:
    """Learn in `env` until the gap is at most `tol`; parameters as `solve`, checked there.

    `show` is told the episodes done and the gap.
    """
    began = time.perf_counter()
    if not isinstance(options, VLearning):
        must = "'v-learning' for an environment that is only played"
        raise ValueError(complaint("solver", "solve", must, options))
    if options.step_size == "theory" or options.first_values == "optimistic" or options.bonus:
        must = "'v-learning' with its defaults: these options need bounds of the values"
        raise ValueError(complaint("solver", "solve", must, options))
    if init is not None and not isinstance(init, ObservationPolicy):
        raise TypeError(complaint("init", "solve", "an ObservationPolicy or None", init))
    run = EpisodesRun(options, env, init, seed)
    records: list[tuple[int, float, float]] = []
    best, best_gap, estimate = run.policy(), np.inf, None
    value = np.full(env.n_players, np.nan)
    status = Status.MAX_ITERATIONS
    try:
        while run.episodes < limit:
            wait = _next_check(run.episodes, options.resolution, exact=env.game is not None)
            run.advance(min(wait, limit - run.episodes))
            policy = run.policy()
            if env.game is not None:
                gap = upper = run.exact_gap()
            else:
                found = estimate_gap(env, policy, seed=seed)
                gap, upper = found.gap, found.high
            records.append((run.episodes, gap, time.perf_counter() - began))
            show(run.episodes, gap)
            if env.game is None or gap <= best_gap:  # the least estimate would flatter
                best, best_gap = policy, gap
                if env.game is not None:
                    value = evaluate(env.game, run.joint_policy())
                else:
                    estimate, value = found, np.array(found.value)
            if upper <= tol:
                status = Status.CONVERGED if env.game is not None else Status.ESTIMATED
                break
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    run.view.env.close()
    at, gaps, seconds = zip(*records, strict=True) if records else ((), (), ())
    slots = ", ".join(f"{agent}: {len(i)}" for agent, i in zip(env.agents, run.index, strict=True))
    solution = EpisodicSolution(
        policy=best,
        value=value,
        gap=best_gap,
        exact=env.game is not None,
        estimate=estimate,
        iterations=run.episodes,
        seconds=time.perf_counter() - began,
        status=status,
        trace=Trace(
            iteration=np.array(at, np.int64),
            gap=np.array(gaps, float),
            seconds=np.array(seconds, float),
        ),
        solver=options,
        note=f"Learned from {run.episodes:,} episodes. Slots met: {slots}."
        + (f" The gap is {estimate}." if estimate is not None else ""),
    )
    if throw and status is Status.INTERRUPTED:
        raise SolveInterrupted(solution)
    if throw and not solution.converged:
        raise SolveError(solution)
    return solution


def _next_check(done: int, resolution: float, *, exact: bool) -> int:
    if not exact:
        return max(FIRST_ESTIMATE, done)
    return max(1, int(resolution * done)) if resolution else 2**62
