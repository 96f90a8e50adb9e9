"""Seconds of the kernels, to compare with those of an earlier state of the sources.

    python -m pytest benchmarks/test_kernels.py --benchmark-save=before
    python -m pytest benchmarks/test_kernels.py --benchmark-compare --benchmark-compare-fail=min:20%

It needs pytest-benchmark (`pip install "metamarl[peers]"`), which keeps saved runs in
`.benchmarks/`. The tests of `tests/` never run it.
"""

from typing import Any

import numpy as np
import pytest

import metamarl as mm
from metamarl.algorithms.evaluator import Evaluator

pytest.importorskip("pytest_benchmark")


def _random(*actions: int, states: int = 50, horizon: int = 10, **options: Any) -> mm.MarkovGame:
    return mm.make("random", states=states, actions=actions, horizon=horizon, **options)


GAMES = {
    "5x5": _random(5, 5),
    "10x10": _random(10, 10),
    "64x64": _random(64, 64, states=4, horizon=2),
    "soccer": mm.make("soccer"),
    "goofspiel": mm.make("goofspiel", cards=5),
}
GENERAL = {
    "5x5": _random(5, 5, kind="general-sum"),
    "3x3x3x3": _random(3, 3, 3, 3, kind="general-sum"),
}


def _run(solver: Any, game: mm.MarkovGame, iterations: int) -> Any:
    """The output after so many iterations; the run's beginning is measured with them."""
    run, done = solver.start(game, mm.JointPolicy.uniform(game).flat(game)), 0
    run.wanted = 1e-4
    while done < iterations and not run.finished:
        done += run.advance(iterations - done)
    return run.policy()


def _sums_to_one(flat: Any, game: mm.MarkovGame) -> bool:
    return bool(np.isclose(flat.sum(), len(game.nodes.states) * game.n_players))


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("regularizer", ["entropy", "euclidean"])
def test_mirror_descent(benchmark, name, regularizer):
    solver = mm.OptimisticMirrorDescent(step_size=0.1, regularizer=regularizer)
    assert _sums_to_one(benchmark(_run, solver, GAMES[name], 100), GAMES[name])


@pytest.mark.parametrize("name", GENERAL)
@pytest.mark.parametrize("equilibrium", ["cce", "ce"])
def test_general_sum_mirror_descent(benchmark, name, equilibrium):
    solver = mm.OptimisticMirrorDescent(step_size=0.1, equilibrium=equilibrium)
    joint = benchmark(_run, solver, GENERAL[name], 20)
    assert np.isclose(joint.sum(), len(GENERAL[name].nodes.states))


@pytest.mark.parametrize("name", GAMES)
def test_exact(benchmark, name):
    assert _sums_to_one(benchmark(_run, mm.Exact(), GAMES[name], 1), GAMES[name])


@pytest.mark.parametrize("name", ["10x10", "64x64"])
def test_regret_matching(benchmark, name):
    assert _sums_to_one(benchmark(_run, mm.RegretMatching(), GAMES[name], 1), GAMES[name])


def test_q_ascent(benchmark):
    game = mm.make("routing")
    assert _sums_to_one(benchmark(_run, mm.QAscent(), game, 20), game)


@pytest.mark.parametrize("name", GAMES)
def test_nash_gap(benchmark, name):
    judge, flat = Evaluator(GAMES[name]), mm.JointPolicy.uniform(GAMES[name]).flat(GAMES[name])
    assert benchmark(judge.nash_gap, flat) > 0


def test_v_learning(benchmark):
    game = _random(3, 3, states=10, horizon=5)

    def learn() -> Any:
        return mm.solve(game, "v-learning", tol=1e-9, max_iterations=2_000, throw=False)

    assert benchmark(learn).iterations == 2_000


def test_tiers(benchmark):
    tiers = mm.tier_tasks(states=5)
    run = benchmark(mm.tiered, tiers.low, tiers.high, episodes=2_000)
    assert len(run.regret_high) == 2_000
