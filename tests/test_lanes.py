"""Where games lie for the kernels, wide games, float32, threads: none may change the answers."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_evaluation import random_game
from test_kernels import around, compare_runs

import metamarl as mm
from metamarl.algorithms import _zero_sum_run, backward, threads
from metamarl.algorithms._lanes import place
from metamarl.algorithms.evaluator import Evaluator

SHAPES = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=120)


@given(SHAPES, st.sampled_from([16, 32]), st.booleans())
@settings(deadline=None, max_examples=60, derandomize=True)
def test_every_number_has_a_place_of_its_own(shapes, lanes, alike):
    counts = np.array(shapes)
    layout = place(counts, lanes, alike=alike)
    cells, actions, games = layout.sizes
    assert len(layout.where) == counts.sum() == len(np.unique(layout.where))
    assert layout.where.max() < actions
    taken = [
        layout.cell[j] + np.add.outer(layout.row_step[j] * np.arange(A), step * np.arange(B))
        for j, (A, B) in enumerate(shapes)
        for step in [layout.column_step[j]]
    ]
    taken = np.concatenate([part.ravel() for part in taken])
    assert len(taken) == counts.prod(1).sum() == len(np.unique(taken))
    assert taken.max() < cells
    assert len(np.unique(layout.lane)) == len(counts)
    assert layout.lane.max() < games
    for offsets in (layout.blocks[:, 2:4], layout.wide[:, 2:4]):  # whole vectors
        assert (offsets % lanes == 0).all()


def test_left_over_games_share_blocks():
    counts = np.array([(5, 5)] * 20 + [(4, 5)] * 3 + [(5, 3)] * 6 + [(1, 1)] * 2)
    layout = place(counts, 16)
    assert layout.blocks[:, :2].tolist() == [[5, 5], [5, 5]]
    assert len(place(counts, 16, alike=True).blocks) == 5


@pytest.mark.parametrize("sizes", [(1, 70), (70, 1), (33, 20), (100, 100)], ids=str)
def test_wide_games_against_numpy(sizes):
    rng = np.random.default_rng(1)
    reward = rng.normal(size=(2, *sizes))
    legal = [np.ones((2, n), bool) for n in sizes]
    legal[0][0, 7:] = legal[1][1, 2:8] = False
    arguments = {
        "transition": rng.dirichlet(np.ones(2), reward.shape),
        "reward": np.stack([reward, -reward]),
        "horizon": 2,
        "discount": 1.0,
        "legal": legal,
    }
    _, run = compare_runs(arguments, around(2, 3), eta=0.3)
    assert len(run.layout.wide) > 0


def small_and_large():
    """Games in full blocks, in shared ones and wide."""
    rng = np.random.default_rng(3)
    reward = rng.normal(size=(40, 30, 30))
    legal = [np.arange(30) < rng.choice([1, 2, 5, 6, 30], (40, 1)) for _ in range(2)]
    moves = rng.dirichlet(np.full(40, 0.2), reward.shape)
    return mm.MarkovGame(moves, np.stack([reward, -reward]), horizon=4, legal=legal)


@pytest.mark.parametrize("precision", ["double", "single"])
def test_threads_change_no_bit(precision, monkeypatch):
    for module in (_zero_sum_run, backward):
        monkeypatch.setattr(module, "WORTH_IT", 0.0)
    game, found = small_and_large(), []
    for n in (1, 2, 3):
        monkeypatch.setattr(backward, "default_threads", lambda n=n: n)
        options = mm.OptimisticMirrorDescent(precision=precision, threads=n)
        solution = mm.solve(game, options, tol=1e-3, throw=False, max_iterations=60)
        found.append((solution.policy.flat(game), solution.trace.gap))
    for flat, gap in found[1:]:
        np.testing.assert_array_equal(flat, found[0][0])
        np.testing.assert_array_equal(gap, found[0][1])


@pytest.mark.parametrize("step_size", [0.05, "adaptive"])
def test_single_precision_follows_double(step_size):
    game, plays = small_and_large(), []
    for precision in ("double", "single"):
        options = mm.OptimisticMirrorDescent(precision=precision, step_size=step_size)
        run = options.start(game, mm.JointPolicy.uniform(game).flat(game))
        for times in (1, 30, 3, 100, 7, 200):  # across, within and at the ends of FOLD
            run.advance(times)
        plays.append(run.policy())
    np.testing.assert_allclose(*plays, rtol=0, atol=2e-4)
    assert not np.array_equal(*plays)


def test_single_precision_in_long_stages():
    """Sums of a million plays, far from zero: float32 alone would stop counting at 2^24."""
    pennies = np.array([[[2.0, -1.0], [-1.0, 1.0]]]) + 1000.0
    game = mm.MarkovGame(np.ones((1, 2, 2, 1)), np.stack([pennies, -pennies]), discount=0.5)
    options = mm.OptimisticMirrorDescent(precision="single", first_values="policy")
    solution = mm.solve(game, options, tol=2e-4, max_iterations=1_000_000)
    assert solution.gap <= 2e-4
    np.testing.assert_allclose(solution.policy[0][0], [0.4, 0.6], atol=1e-3)
    assert solution.value[0] == pytest.approx(2 * 1000.2, abs=1e-3)


@pytest.mark.parametrize("kind", ["timed", "steps", "acyclic"])
def test_both_best_responses_at_once(kind, monkeypatch):
    monkeypatch.setattr(backward, "WORTH_IT", 0.0)
    games = [mm.MarkovGame(**random_game(kind, (3, 4), S, S, zero_sum=True)) for S in (2, 5, 8)]
    for game in [*games, small_and_large()]:  # the last one's rows are dense, and longer
        flat = mm.JointPolicy.uniform(game).flat(game)
        flat = Evaluator(game).responses(flat) * 0.7 + 0.3 * flat
        judge = Evaluator(game)
        apart = sum(judge.value(flat, i, respond=True) for i in range(2))
        for n in (1, 2):
            monkeypatch.setattr(backward, "default_threads", lambda n=n: n)
            assert Evaluator(game).nash_gap(flat) == pytest.approx(apart, rel=1e-12, abs=1e-12)


def test_how_many_threads(monkeypatch):
    from numba import config

    monkeypatch.setattr(config, "NUMBA_NUM_THREADS", 7)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads.default_threads() == 7
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads.default_threads() == 2
    inside = []
    other = threading.Thread(target=lambda: inside.append(threads.default_threads()))
    other.start()
    other.join()
    assert inside == [1]


def test_parts_report_their_errors():
    done = []

    def task(part):
        if part == 2:
            raise ValueError("part 2")
        done.append(part)

    with pytest.raises(ValueError, match="part 2"):
        threads.run_parts(task, [1, 2, 3])
    assert sorted(done) == [1, 3]


def test_bad_options():
    with pytest.raises(ValueError, match="'precision' parameter of OptimisticMirrorDescent"):
        mm.OptimisticMirrorDescent(precision="half")
    with pytest.raises(ValueError, match=r"'threads' parameter .* at least 1"):
        mm.OptimisticMirrorDescent(threads=0)
    with pytest.raises(TypeError, match="'threads' parameter"):
        mm.OptimisticMirrorDescent(threads=True)
    with pytest.raises(ValueError, match="'double' with the 'euclidean' regularizer"):
        mm.OptimisticMirrorDescent(precision="single", regularizer="euclidean")
    with pytest.raises(ValueError, match="'double' in a general-sum game"):
        mm.solve(mm.make("prisoners"), mm.OptimisticMirrorDescent(precision="single"))


def test_gaps_of_single_precision_are_certified():
    """Plays in float32 sum to 1 to seven digits only, which large rewards would turn into a gap."""
    rng = np.random.default_rng(5)
    P, R = rng.dirichlet(np.ones(3), size=(3, 2, 4)), rng.normal(size=(3, 2, 4))
    there, here = (mm.MarkovGame(P, np.stack([r, -r]), horizon=3) for r in (R + 1e5, R))
    solver = mm.OptimisticMirrorDescent(precision="single")
    found = mm.solve(there, solver, tol=1e-6, max_iterations=5000, throw=False)
    rows = [policy / policy.sum(-1, keepdims=True) for policy in found.policy]
    assert found.gap >= mm.nash_gap(here, mm.JointPolicy(rows)) - 1e-9
    assert all(np.abs(policy.sum(-1) - 1.0).max() < 1e-12 for policy in found.policy)
