"""One run of neural self-play: what `learn` advances, grades and keeps."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metamarl.algorithms.checkpoints import (
    cannot_be_read,
    load_checkpoint,
    run_name,
    save_checkpoint,
)
from metamarl.algorithms.evaluation import nash_gap
from metamarl.algorithms.learner import Learner, check_batches
from metamarl.algorithms.learning import span_of, step_limit
from metamarl.algorithms.neural_mirror_descent import NeuralMirrorDescent
from metamarl.algorithms.neural_policy import NeuralPolicy
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solution import ReturnTrace, Trace
from metamarl.algorithms.stepping import AbstractStepper, TabularStepper
from metamarl.algorithms.stepping_environments import EnvironmentStepper, Eyes
from metamarl.envs.episodes import EpisodicEnvironment


class LearningRun:
    """Parameters as `learn`, checked there; `n_updates` of `options.copies · rollout` steps."""

    def __init__(
        self,
        env: EpisodicEnvironment,
        options: NeuralMirrorDescent,
        steps: int,
        seed: int,
        device: str,
        checks: int,
        init: Any,
    ) -> None:
        self.env, self.options = env, options
        self.per_update = options.copies * options.rollout
        self.n_updates = max(1, steps // self.per_update)
        stepper = make_stepper(env, options)
        self.learner = Learner(stepper, options, env.discount, seed, device)
        self.updates = 0
        self.seconds = 0.0
        self.records: list[tuple[int, float, float]] = []
        self._returns: list[tuple[int, int, list[float]]] = []
        self._earned: list[np.ndarray] = []
        self.scalars: dict[str, float] = {}
        self.relative_gap: float | None = None
        self._span = span_of(env)
        self._folder: Path | None = None
        learned = init is not None and not isinstance(init, Mapping)  # a learned start
        seen = None
        if isinstance(stepper, EnvironmentStepper):
            seen = [str(space) for space in stepper.eyes.spaces]
        self._about = run_name(
            env, options, init.weights if learned else init, seen, steps=steps, seed=seed,
            checks=checks, device=device,
            start=[repr(init.adapter), init.seed] if learned else None,
        )  # fmt: skip
        self.adapted = None
        """What adapts; None where everything does."""
        if learned:
            self.adapted = init.attach(self.learner.networks)
            self.learner.use(self.learner.networks)
        elif init is not None:
            self.learner.load_weights(init)
        self._device = device
        count = min(checks, self.n_updates)
        self._checks = {round((k + 1) * self.n_updates / count) for k in range(count)}

    @property
    def steps(self) -> int:
        """Steps of the environment done."""
        return self.updates * self.per_update

    def resume(self, folder: Path) -> None:
        """Keep checkpoints in `folder`, and go on from the one that is there."""
        self._folder = folder
        state = load_checkpoint(folder, self._about, self._device)
        if state is None:
            return
        try:
            self.learner.load_state(state["learner"])
            self.updates, self.seconds = int(state["updates"]), float(state["seconds"])
            self.records = [(int(at), gap, seconds) for at, gap, seconds in state["records"]]
            self._returns = [(int(at), int(count), mean) for at, count, mean in state["returns"]]
            self.scalars = {name: float(number) for name, number in state["scalars"].items()}
        except Exception as error:  # whatever else than a learner's state makes of it
            raise cannot_be_read(folder, error) from error

    def advance(self) -> Iterator[dict[str, float]]:
        """Do what is left, update by update; yields what there is to write down of each.

        Raises ValueError where the first rollout shows of no choice what it led to.
        """
        began = time.perf_counter() - self.seconds
        anew = True
        while self.updates < self.n_updates:
            if anew:
                self.learner.play.begin()
            batches = self.learner.gather()
            if not self.updates:
                check_batches(batches, self.options.rollout, "learn")
            self.scalars = self.learner.update(batches, self.updates / self.n_updates)
            if not np.isfinite(list(self.scalars.values())).all():
                words = "the losses became infinite or undefined; try smaller learning rates."
                raise FloatingPointError(f"After {self.steps:,} steps {words}")
            self.updates += 1
            self.seconds = time.perf_counter() - began
            earned = self.learner.play.earned
            self._earned += earned
            if earned:
                mean = np.mean(earned, axis=0)
                named = zip(self.env.agents, mean.tolist(), strict=True)
                self.scalars |= {f"return/{agent}": number for agent, number in named}
            anew = self.updates in self._checks
            if anew:
                self._check(began)
            yield self.scalars

    def _check(self, began: float) -> None:
        if self._earned:
            mean = np.mean(self._earned, axis=0).tolist()
            self._returns.append((self.steps, len(self._earned), mean))
            self._earned = []
        joint = self.joint_policy()
        if joint is not None and self.env.game is not None:
            gap = nash_gap(self.env.game, joint)
            self.relative_gap = self.relative(gap)
            self.scalars["gap/relative"] = self.relative_gap
            self.records.append((self.steps, gap, time.perf_counter() - began))
        if self._folder is not None:
            state = {
                "learner": self.learner.state(),
                "updates": self.updates,
                "seconds": self.seconds,
                "records": [list(record) for record in self.records],
                "returns": [list(record) for record in self._returns],
                "scalars": {name: float(number) for name, number in self.scalars.items()},
            }
            save_checkpoint(self._folder, self._about, state)

    def trace(self) -> Trace:
        """The exact gaps so far."""
        at, gaps, seconds = zip(*self.records, strict=True) if self.records else ((), (), ())
        return Trace(
            iteration=np.array(at, np.int64),
            gap=np.array(gaps, float),
            seconds=np.array(seconds, float),
        )

    def returns(self) -> ReturnTrace:
        """The mean returns so far."""
        at, counts, means = zip(*self._returns, strict=True) if self._returns else ((), (), ())
        return ReturnTrace(
            steps=np.array(at, np.int64),
            episodes=np.array(counts, np.int64),
            mean=np.array(means, float).reshape(len(at), self.env.n_players),
        )

    def relative(self, gap: float) -> float:
        """A gap in parts of the span of values (as it is, where nothing is at stake)."""
        return gap / self._span if self._span else gap

    def policy(self) -> NeuralPolicy:
        """What has been learned so far."""
        stepper = self.learner.stepper
        if isinstance(stepper, EnvironmentStepper):
            return NeuralPolicy(self.env, self.learner.networks, stepper.eyes)
        view = self.env.open(0)
        eyes = Eyes(view, self.options.share)
        view.env.close()
        return NeuralPolicy(self.env, self.learner.networks, eyes)

    def joint_policy(self) -> JointPolicy | None:
        """The same as arrays, where it can be graded."""
        return self.policy().joint_policy() if self._span is not None else None


def make_stepper(env: EpisodicEnvironment, options: NeuralMirrorDescent) -> AbstractStepper:
    """Copies of an environment, as arrays where it is a game of ours."""
    if env.is_own and env.game is not None:
        return TabularStepper(env.game, options.copies, step_limit(env), options.share)
    return EnvironmentStepper(env, options.copies, options.share)
