"""An arm whose networks learn by self-play: from random weights, or from a learned start."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms.evaluation import evaluate
from metamarl.algorithms.learning import as_environment
from metamarl.algorithms.neural_mirror_descent import NeuralMirrorDescent
from metamarl.algorithms.solution import Status, Trace
from metamarl.algorithms.torch_extra import need_torch, one_thread
from metamarl.meta import MetaLearner
from metamarl.starts import LearnedStart

CHECKS = 50  # steps to the tolerance are known to 2 % of the limit
STEPS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Played:
    """What an arm found on a task."""

    policy: Any
    """As arrays where it could be graded, else None."""
    value: NDArray[np.float64]
    """`(n,)` exact values; where they are not known what was earned per episode at the end."""
    gap: float
    """The exact gap at the end; NaN where it is not known."""
    iterations: int
    """Steps of the environment."""
    status: Status
    trace: Trace
    """The exact gap along the way."""

    @property
    def converged(self) -> bool:
        """Whether the gap came down to the tolerance."""
        return self.status is Status.CONVERGED


class NeuralArm:
    """Learns in tasks, each on its own; a start brings the options that it was learned with."""

    def __init__(self, meta: MetaLearner, options: NeuralMirrorDescent, seed: int) -> None:
        need_torch("compare")
        self.start = meta if isinstance(meta, LearnedStart) else None
        brought = None if self.start is None else self.start.options
        self.options, self.seed = brought or options, seed

    def solve(self, game: Any, past: Any, task: int, tol: float, limit: int | None) -> Played:  # noqa: ARG002
        """Learn in task number `task` until its gap is at most `tol`; seeded by (seed, task)."""
        from metamarl.algorithms._learning_run import LearningRun

        drawn = int(np.random.SeedSequence([self.seed, task]).generate_state(1)[0])
        env, status = as_environment(game), Status.MAX_ITERATIONS
        with one_thread():
            steps = limit or STEPS
            run = LearningRun(env, self.options, steps, drawn, "cpu", CHECKS, self.start)
            try:
                for _ in run.advance():
                    if run.records and run.records[-1][1] <= tol:
                        status = Status.CONVERGED
                        break
                joint = run.joint_policy()
            finally:
                run.learner.stepper.close()
        value = np.array([run.scalars.get(f"return/{agent}", math.nan) for agent in env.agents])
        if joint is not None and env.game is not None:
            value = evaluate(env.game, joint)
        trace = run.trace()
        return Played(
            policy=joint,
            value=value,
            gap=float(trace.gap[-1]) if len(trace) else math.nan,
            iterations=run.steps,
            status=status,
            trace=trace,
        )
