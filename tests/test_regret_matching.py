"""Predictive regret matching+: its plays, its bound, and when it is chosen."""

import numpy as np
import pytest
from test_evaluation import random_game

from metamarl.algorithms import _regret_matching
from metamarl.algorithms.evaluation import nash_gap
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.regret_matching import CROSSOVERS, RegretMatching
from metamarl.algorithms.solution import Status
from metamarl.algorithms.solve import solve
from metamarl.envs import MarkovGame, make


def matrix_game(actions, seed=0, **options):
    rng = np.random.default_rng(seed)
    reward = rng.random((1, *actions))
    clock = {"horizon": 1, **options}
    return MarkovGame(np.ones((1, *actions, 1)), np.stack([reward, -reward]), **clock)


def plain(Q, plays):
    """Farina, Kroer and Sandholm (2021), Algorithm 3 for both players in turn, in NumPy."""

    def normal(z):
        z = np.maximum(z, 0.0)
        return z / z.sum() if z.sum() > 0 else np.full(len(z), 1.0 / len(z))

    x, y = normal(np.zeros(Q.shape[0])), normal(np.zeros(Q.shape[1]))
    R, T, mean_x, mean_y = 0.0 * x, 0.0 * y, 0.0 * x, 0.0 * y
    for t in range(1, plays + 1):
        g = Q @ y
        R = np.maximum(R + g - x @ g, 0.0)
        x = normal(R + g - x @ g)
        g = -Q.T @ x
        T = np.maximum(T + g - y @ g, 0.0)
        y = normal(T + g - y @ g)
        mean_x, mean_y = mean_x + t * t * x, mean_y + t * t * y
    return mean_x / mean_x.sum(), mean_y / mean_y.sum()


@pytest.mark.parametrize("shape", [(2, 2), (7, 4), (9, 9), (30, 17)])
def test_plays_against_plain_numpy(shape):
    game = matrix_game(shape)
    Q = game.table.reward[0].reshape(shape)
    Q = (Q - Q.min()) / np.ptp(Q)
    few = {"tol": 1e-9, "max_iterations": 1, "throw": False}
    solution = solve(game, RegretMatching(plays=25), **few)
    for found, wanted in zip(solution.policy, plain(Q, 25), strict=True):
        np.testing.assert_allclose(found[0, 0], wanted, atol=1e-11)


@pytest.mark.parametrize("tol", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("clock", [{"horizon": 4}, {"horizon": None, "discount": 0.8}])
def test_one_pass_is_enough_without_cycles(clock, tol):
    game = make("random", states=5, actions=(20, 24), **clock)
    solution = solve(game, "regret-matching", tol=tol)
    assert 1e-3 * tol < solution.gap <= tol  # as exact as was wanted, not more
    if "discount" not in clock:
        assert solution.iterations == 1
    exact = solve(game, "exact")
    assert abs(solution.value[0] - exact.value[0]) <= tol


def test_masks_and_unequal_numbers_of_actions():
    options = random_game("steps", (4, 3), 5, zero_sum=True)
    game = MarkovGame(**options)
    assert solve(game, "regret-matching", tol=1e-6).gap <= 1e-6


def test_the_best_there_is_to_be_had():
    solution = solve(matrix_game((6, 6)), RegretMatching(plays=10**6), tol=1e-30, throw=False)
    assert solution.status in (Status.STALLED, Status.MAX_ITERATIONS)
    assert solution.gap < 1e-9


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_scale_of_rewards_changes_nothing(scale):
    game = matrix_game((40, 40))
    scaled = MarkovGame(game.dense()[0], scale * game.dense()[1], horizon=1)
    one = solve(game, "regret-matching", tol=1e-4)
    other = solve(scaled, "regret-matching", tol=1e-4 * scale)
    np.testing.assert_allclose(one.policy[0], other.policy[0], atol=1e-5)


def test_auto_chooses_by_size_and_tolerance():
    small, large = matrix_game((48, 48)), matrix_game((130, 130))
    assert solve(small, tol=1e-2).solver.name == "exact"
    assert solve(large, tol=1e-2).solver.name == "regret-matching"
    assert solve(large, tol=1e-9).solver.name == "exact"
    assert solve(matrix_game((2, 300)), tol=1e-2).solver.name == "exact"
    gaps, actions = zip(*CROSSOVERS, strict=True)
    assert list(gaps) == sorted(gaps, reverse=True)
    assert list(actions) == sorted(actions)


def test_the_gap_is_that_of_the_policy_however_large_the_rewards():
    """Rows of plays in single precision do not quite sum to 1; with an offset that would tell."""
    reward = np.random.default_rng(0).random((1, 130, 130)) + 1e5
    game = MarkovGame(np.ones((1, 130, 130, 1)), np.stack([reward, -reward]), horizon=1)
    solution = solve(game, "regret-matching", tol=2.0)
    copied = JointPolicy([np.array(array) for array in solution.policy])
    assert nash_gap(game, copied) == pytest.approx(solution.gap, rel=1e-6)


def test_only_for_zero_sum_games():
    with pytest.raises(ValueError, match="a zero-sum game for solver 'regret-matching'"):
        solve(make("prisoners"), "regret-matching")
    with pytest.raises(ValueError, match="'plays' parameter of RegretMatching"):
        RegretMatching(plays=0)


def test_weighted_rows_four_at_a_time():
    rng = np.random.default_rng(0)
    for rows in (1, 3, 4, 5, 11):
        M, weights = rng.random((rows, 6)), rng.random(rows)
        weights[::3] = 0.0
        out = np.empty(6)
        _regret_matching._combine(M, weights, np.empty(rows, np.int64), out)
        np.testing.assert_allclose(out, weights @ M, rtol=1e-13)
