"""Independent policy gradients at work (see `policy_gradient`)."""

import copy
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metamarl.algorithms import _policy_gradient as kernels
from metamarl.algorithms._action_values import ActionValues, AnonymousActionValues
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.solver import AbstractRun
from metamarl.envs.anonymous import AnonymousGame
from metamarl.envs.game import MarkovGame

SAFE = 0.5  # of the largest step that cannot lower the potential
GROWTH, CUT = 1.25, 0.5  # of the step, after the potential rose, and where it did not
BOLDEST = 1e6


class PotentialMeter:
    """Values a stage potential under many flat policies of one game.

    Args:
        game: the game.
        rows: the stage potential, `(R,)` or `(H·R,)`, in the order of `game.compact`'s rows.
    """

    def __init__(self, game: MarkovGame, rows: NDArray[np.float64]) -> None:
        paying = copy.copy(game)  # the same game, in which the potential is the only reward
        if game.aggregate is None:
            stride = game.table.n_rows if len(rows) > game.table.n_rows else 0
            paying.table = replace(game.table, reward=rows[None], reward_stride=stride)
        else:
            paying.aggregate = copy.copy(game.aggregate)
            reward = np.stack([rows, np.zeros_like(rows)])
            paying.aggregate.table = replace(game.aggregate.table, reward=reward)
        self._judge = Evaluator(paying)

    def __call__(self, flat: NDArray[np.float64]) -> float:
        """Expected (discounted) sum of the stage potential from `game.initial`."""
        return self._judge.value(flat, 0, respond=False)


class _Point:
    """A policy and what is known of it: X, its logarithm M, Q-values G, spans, visits D."""

    def __init__(self, initial: NDArray[np.float64], nodes: int, *, natural: bool) -> None:
        self.X = initial.copy()
        self.M = np.log(initial) if natural else np.zeros(0)
        self.G = np.empty_like(initial)
        self.span, self.D = np.zeros(nodes), np.zeros(nodes)
        self.level = -np.inf


class AscentRun(AbstractRun):
    """Simultaneous steps of all players; the answer is the last policy that was kept.

    Args:
        game: the game.
        initial: flat policy to begin with.
        rule: `kernels.ASCENT`, `kernels.GRADIENT` or `kernels.NATURAL`.
        eta: the step size; None for `SAFE` times the largest for which the potential surely rises.
        search: whether to go further, as long as the potential rises.
        resolution: part by which iterations grow between measurements.
        rows: the stage potential, if there is one.
        note: what to say of the answer.
    """

    def __init__(
        self,
        game: MarkovGame,
        initial: NDArray[np.float64],
        *,
        rule: int,
        eta: float | None,
        search: bool,
        resolution: float,
        rows: NDArray[np.float64] | None,
        note: str,
    ) -> None:
        N = len(game.nodes.states)
        self.game, self.rule, self.search = game, rule, search
        self.eta, self.factor = eta or 0.0, 0.0 if eta else SAFE
        self.resolution, self.note = resolution, note
        self.meter = None if rows is None else PotentialMeter(game, rows)
        self.counts = np.stack([mask.sum(1) for mask in game.legal], axis=1)
        self.values: ActionValues | AnonymousActionValues
        if isinstance(game, AnonymousGame):
            self.identical = game.interests() == 0.0
            self.values = AnonymousActionValues(game)
        else:
            reward = game.table.reward
            self.identical = all(np.array_equal(own, reward[0]) for own in reward[1:])
            self.values = ActionValues(game, 1 if self.identical else game.n_players)
        natural = rule == kernels.NATURAL
        self.point, self.trial = (_Point(initial, N, natural=natural) for _ in range(2))
        self.eta_of = np.zeros(N)
        self._begun = False

    def advance(self, iterations: int) -> int:
        states, slots, counts = self.game.nodes.states, self.game.nodes.slots, self.counts
        if not self._begun:
            self._evaluate(self.point)
            self._begun = True
        for done in range(1, iterations + 1):
            now, trial = self.point, self.trial
            kernels.steps(
                self.rule, states, counts, now.span, now.D, self.eta, self.factor, self.eta_of
            )
            change = kernels.update(
                self.rule, states, slots, counts, now.G, self.eta_of, now.X, now.M, trial.X, trial.M
            )
            if change == 0.0 and self.rule != kernels.NATURAL:
                self.finished = True
                return done
            self._evaluate(trial)
            if self._accept():
                self.point, self.trial = trial, now
        return iterations

    def _accept(self) -> bool:
        """Whether to keep the trial; sets how far to go next."""
        if not self.search:
            return True
        if self.trial.level > self.point.level:
            self.factor = min(GROWTH * self.factor, BOLDEST)
            return True
        if self.factor == SAFE:  # it cannot have fallen, but for rounding
            return True
        self.factor = max(SAFE, CUT * self.factor)
        return False

    def _evaluate(self, at: _Point) -> None:
        """Bring what is known of a policy up to date."""
        self.values.evaluate(at.X, at.G, at.span)
        if self.rule == kernels.GRADIENT:
            self.values.visits(at.X, at.D)
        if self.search:
            at.level = self._level(at.X)

    def _level(self, flat: NDArray[np.float64]) -> float:
        """Return the potential; with identical interests it is the value just found."""
        if not self.identical:
            assert self.meter is not None
            return self.meter(flat)
        nodes = self.game.nodes
        first = slice(None, nodes.groups[1]) if nodes.timed else slice(None)
        return float(self.game.initial[nodes.states[first]] @ self.values.V[0, first])

    def policy(self) -> NDArray[np.float64]:
        return self.point.X.copy()

    def potential(self, flat: NDArray[np.float64]) -> float | None:
        return None if self.meter is None else self.meter(flat)

    def next_check(self, done: int) -> int:
        return max(1, int(self.resolution * done)) if self.resolution else 2**62
