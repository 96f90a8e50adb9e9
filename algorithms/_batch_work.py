"""One batch from its start to its solutions: measuring, recording, letting go what is solved."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms._batch import Batch
from metamarl.algorithms._batch_run import BatchRun, flat_of
from metamarl.algorithms._zero_sum_run import SMALLEST
from metamarl.algorithms.evaluation import effective_horizon, evaluate
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solution import Solution, Status, Trace
from metamarl.algorithms.solve import FINE
from metamarl.envs.game import MarkovGame

CROWDED = 0.75  # a batch with a smaller part of its games still at work is made smaller
MARGIN = 1e-13  # relative: what another order of summation may make of a gap


class BatchWork:
    """Solves the games of one batch.

    Args:
        games: games of one shape.
        options: the solver's.
        tol: gap to reach.
        limit: where to give up.
        device: a torch device.
        began: when the clock started.
    """

    def __init__(
        self,
        games: Sequence[MarkovGame],
        options: OptimisticMirrorDescent,
        tol: float,
        limit: int,
        device: Any,
        began: float,
    ) -> None:
        self.games, self.options, self.tol, self.limit = games, options, tol, limit
        self.device, self.began = device, began
        uniform = JointPolicy.uniform(games[0]).flat(games[0])
        self.best = np.tile(uniform, (len(games), 1))
        self.best_gap = np.full(len(games), np.inf)
        self.done, self.seconds = np.zeros(len(games), np.int64), np.zeros(len(games))
        self.status = [Status.INTERRUPTED] * len(games)
        self.records: list[tuple[int, float, NDArray[np.int64], NDArray[np.float64]]] = []

    def carry_out(self, show: Callable[[int, float], None]) -> None:
        """Solve the games as far as they can be; Ctrl-C leaves what there is."""
        run, done = self._start(), 0
        inside = np.arange(len(self.games))
        at_work = np.ones(len(inside), bool)
        margin = MARGIN * np.array([_scale(game) for game in self.games])
        while at_work.any():
            wait = max(1, int(self.options.resolution * done)) if self.options.resolution else 2**62
            done += run.advance(min(wait, self.limit - done))
            policies = run.policies()
            gaps = run.batch.gaps(policies, FINE * self.tol).cpu().numpy()
            seconds = time.perf_counter() - self.began
            here = np.flatnonzero(at_work)
            games, gaps = inside[here], gaps[here]
            self.records.append((done, seconds, games, gaps))
            self.done[games], self.seconds[games] = done, seconds
            better = gaps < self.best_gap[games]
            self.best_gap[games[better]] = gaps[better]
            chosen = [(x[here[better]], y[here[better]]) for x, y in policies]
            self.best[games[better]] = flat_of(run.batch.buckets, chosen, run.batch.n_slots)
            lost, solved = ~np.isfinite(gaps), self.best_gap[games] + margin[games] <= self.tol
            for k in np.flatnonzero(lost | solved | (done >= self.limit)):
                self.status[games[k]] = Status.NONFINITE if lost[k] else Status.MAX_ITERATIONS
                at_work[here[k]] = False
            show(done, float(self.best_gap[games].max()))
            if 0 < at_work.sum() < CROWDED * len(inside):
                run.keep(np.flatnonzero(at_work))
                inside = inside[at_work]
                at_work = at_work[at_work]

    def _start(self) -> BatchRun:
        games, initial = self.games, self.best
        if self.options.regularizer == "entropy":
            initial = np.maximum(initial, SMALLEST)
        values = None
        if self.options.first_values == "policy":
            judges = [Evaluator(game) for game in games]
            for judge, flat in zip(judges, initial, strict=True):
                judge.value(flat, 0, respond=False)
            values = np.stack([judge.values for judge in judges])
        spans = np.array([np.ptp(game.table.reward[0]) for game in games])
        return BatchRun(self.options, Batch(games, self.device), initial, values, spans)

    def solutions(self) -> list[Solution]:
        """What was found, measured exactly."""
        traces = self._traces()
        found = []
        for k, game in enumerate(self.games):
            policy = JointPolicy.from_flat(game, self.best[k].copy())
            gap = Evaluator(game).nash_gap(self.best[k])
            status = self.status[k]
            if status is not Status.NONFINITE and gap <= self.tol:
                status = Status.CONVERGED
            found.append(
                Solution(
                    policy=policy,
                    value=evaluate(game, policy),
                    gap=gap,
                    iterations=int(self.done[k]),
                    seconds=float(self.seconds[k]),
                    status=status,
                    trace=traces[k],
                    solver=self.options,
                    init=JointPolicy.uniform(game),
                    game=game,
                )
            )
        return found

    def _traces(self) -> list[Trace]:
        columns: list[tuple[list[Any], ...]] = [([], [], []) for _ in self.games]
        for done, seconds, left, gaps in self.records:
            for k, gap in zip(left.tolist(), gaps.tolist(), strict=True):
                for column, entry in zip(columns[k], (done, gap, seconds), strict=True):
                    column.append(entry)
        return [
            Trace(
                iteration=np.array(iteration, np.int64),
                gap=np.array(gap, float),
                seconds=np.array(seconds, float),
            )
            for iteration, gap, seconds in columns
        ]


def _scale(game: MarkovGame) -> float:
    """Largest value that could be in the game, at least 1e-300."""
    return max(effective_horizon(game) * float(np.abs(game.table.reward[0]).max()), 1e-300)
