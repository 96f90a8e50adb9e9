"""The game that fixed opponents leave to a player, against best responses and plain NumPy."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_evaluation import CLOCKS, FAST, SIZES, folded, random_game, random_policy

from metamarl.algorithms.correlated import CorrelatedPolicy
from metamarl.algorithms.evaluation import best_response, cce_gap, evaluate
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.response import response_game
from metamarl.algorithms.solve import solve
from metamarl.envs import MarkovGame, from_rules, games, make


def random_joint(game, seed=0):
    """A random policy of a game, uniform where play cannot come."""
    rng = np.random.default_rng(seed)
    flat = rng.exponential(size=int(game.nodes.slots[-1, -1])) ** 2
    for i in range(game.n_players):
        slots = game.nodes.slots[i]
        sums = np.add.reduceat(flat[slots[0] : slots[-1]], slots[:-1] - slots[0])
        flat[slots[0] : slots[-1]] /= np.repeat(sums, np.diff(slots))
    return JointPolicy.from_flat(game, flat)


def optimum(alone):
    """The optimal value of a one-player game."""
    return Evaluator(alone).value(JointPolicy.uniform(alone).flat(alone), 0, respond=True)


def scale_of(game):
    """What rounding is relative to."""
    return 1.0 + float(np.abs(game.table.reward).max()) * (game.horizon or 100)


@pytest.mark.parametrize("name", games())
def test_worth_what_it_is_worth_against_the_others_in_every_game(name):
    game = make(name)
    policy = random_joint(game)
    values = evaluate(game, policy)
    for i in range(game.n_players):
        alone = response_game(game, i, policy)
        assert (alone.n_players, alone.n_states) == (1, game.n_states)
        assert (alone.horizon, alone.discount) == (game.horizon, game.discount)
        assert alone.states == game.states
        np.testing.assert_array_equal(alone.legal[0], game.legal[i])
        np.testing.assert_array_equal(alone.initial, game.initial)
        near = pytest.approx(best_response(game, policy, i)[0], abs=1e-9 * scale_of(game))
        assert optimum(alone) == near
        near = pytest.approx(values[i], abs=1e-9 * scale_of(game))
        assert evaluate(alone, JointPolicy([policy[i]]))[0] == near


@given(st.sampled_from(CLOCKS), st.sampled_from(SIZES), st.integers(0, 2**32 - 1), st.booleans())
@FAST
def test_rows_are_those_of_plain_numpy(kind, n_actions, seed, pure):
    arguments = random_game(kind, n_actions, seed)
    arrays = random_policy(arguments, seed + 1, pure)
    game, policy = MarkovGame(**arguments), JointPolicy(arrays)
    for i in range(len(n_actions)):
        alone = response_game(game, i, policy)
        transition, reward = alone.dense()
        reached = np.zeros((game.horizon or 1, game.n_states), bool)
        reached[game.nodes.steps, game.nodes.states] = True
        for step in range(game.horizon or 1):
            pay, move = folded(arguments, arrays, i, step, True)
            mask = reached[step][:, None] & game.legal[i]
            P = transition[step] if transition.ndim == 4 else transition
            r = reward[0][step] if reward.ndim == 4 else reward[0]
            np.testing.assert_allclose(P[mask], move[mask], atol=1e-12)
            np.testing.assert_allclose(r[mask], pay[mask], atol=1e-12)
        value, policy_i = best_response(game, policy, i)
        assert optimum(alone) == pytest.approx(value, abs=1e-9)
        assert evaluate(alone, JointPolicy([policy_i]))[0] == pytest.approx(value, abs=1e-9)
        own = evaluate(alone, JointPolicy([arrays[i]]))[0]
        assert own == pytest.approx(evaluate(game, policy)[i], abs=1e-9)


@given(st.sampled_from(CLOCKS), st.sampled_from(SIZES), st.integers(0, 2**32 - 1))
@FAST
def test_a_correlated_policy_is_met_without_being_told_what_was_drawn(kind, n_actions, seed):
    game = MarkovGame(**random_game(kind, n_actions, seed))
    joint = np.random.default_rng(seed).exponential(size=int(game.nodes.joints[-1]))
    sums = np.add.reduceat(joint, game.nodes.joints[:-1])
    told = CorrelatedPolicy.from_flat(game, joint / np.repeat(sums, np.diff(game.nodes.joints)))
    values = evaluate(game, told)
    gains = [optimum(response_game(game, i, told)) - v for i, v in enumerate(values)]
    assert max(0.0, *gains) == pytest.approx(cce_gap(game, told), abs=1e-9)
    for i in range(game.n_players):  # with two players the other's marginal is all there is
        if game.n_players == 2:
            apart = response_game(game, i, told.marginals(game))
            assert optimum(apart) == pytest.approx(optimum(response_game(game, i, told)), abs=1e-9)


def test_it_depends_on_the_step_only_where_the_game_or_the_others_do():
    game = make("goofspiel", cards=3)  # every state belongs to one step
    assert response_game(game, 0, random_joint(game)).table.transition_stride == 0
    game = make("rps", rounds=3)
    assert response_game(game, 0, JointPolicy.uniform(game)).table.reward_stride == 0
    varied = JointPolicy([np.full((3, 1, 3), 1 / 3), [[[1, 0, 0]], [[0, 1, 0]], [[0, 0, 1]]]])
    alone = response_game(game, 0, varied)
    assert alone.table.reward_stride == alone.table.transition_stride == 3
    assert solve(alone).value[0] == pytest.approx(3.0)
    still = response_game(game, 1, varied)  # the other one does not change
    assert still.table.reward_stride == 0


def test_the_step_of_the_game_stays_where_the_others_are_still():
    arguments = random_game("timed", (2, 3), seed=3)
    game = MarkovGame(**arguments)
    alone = response_game(game, 1, JointPolicy.uniform(game))
    assert alone.table.reward_stride == alone.table.transition_stride == alone.table.n_rows


def test_states_that_cannot_be_reached_yet_keep_legal_rows():
    walk = np.zeros((3, 2, 2, 3))
    walk[0, ..., 1], walk[1, ..., 2], walk[2, ..., 2] = 1.0, 1.0, 1.0
    pay = np.zeros((2, 3, 2, 2))
    pay[0, :, 0, 0] = pay[0, :, 1, 1] = 1.0
    game = MarkovGame(walk, pay, initial=[1, 0, 0], horizon=5)
    moving = np.zeros((5, 3, 2))
    moving[..., 0] = 1.0
    moving[3, 2] = [0.25, 0.75]
    alone = response_game(game, 0, JointPolicy([np.full((5, 3, 2), 0.5), moving]))
    transition, reward = alone.dense()
    np.testing.assert_array_equal(transition[1, 0], [[0, 1, 0], [0, 1, 0]])
    np.testing.assert_array_equal(reward[0, 3, 2], [0.25, 0.75])
    np.testing.assert_array_equal(reward[0, 1, 2], [0.5, 0.5])  # state 2 is not reached at step 1
    assert solve(alone).value[0] == pytest.approx(4.75)


def test_of_games_from_rules_and_many_actions():
    walk = from_rules(
        start={3: 1.0},
        legal=lambda s: [range(100), [0, 1]] if s else [[0], [0]],
        step=lambda s, a: [(1.0, max(s - 1 - (a[0] == a[1]), 0), (float(s > 0), -float(s > 0)))],
        n_actions=(100, 2),
    )
    alone = response_game(walk, 0, solve(walk, "exact").policy)
    assert alone.n_actions == (100,)
    assert solve(alone).value[0] == pytest.approx(3.0)  # an action never matched walks slowest


def test_tens_of_players_are_counted():
    game = make("safe-distancing", agents=24)
    policy = random_joint(game)
    alone = response_game(game, 5, policy)
    assert (alone.n_actions, alone.n_states) == ((4,), 2)
    near = pytest.approx(best_response(game, policy, 5)[0], rel=1e-9)
    assert optimum(alone) == near
    near = pytest.approx(evaluate(game, policy)[5], rel=1e-9)
    assert evaluate(alone, JointPolicy([policy[5]]))[0] == near


def test_alone_the_game_is_itself():
    game = MarkovGame(**random_game("discounted", (3,), seed=5))
    alone = response_game(game, 0, JointPolicy.uniform(game))
    np.testing.assert_array_equal(alone.table.reward, game.table.reward)
    np.testing.assert_array_equal(alone.table.probabilities, game.table.probabilities)


def test_bad_input_is_refused():
    game = make("stopping")
    policy = JointPolicy.uniform(game)
    for player, kind in ((2, ValueError), (-1, ValueError), (0.5, TypeError), (True, TypeError)):
        with pytest.raises(kind, match=re.escape("'player' parameter of response_game must be")):
            response_game(game, player, policy)
    with pytest.raises(TypeError, match=re.escape("'game' parameter of response_game must be a")):
        response_game("stopping", 0, policy)
    with pytest.raises(TypeError, match="'policy' parameter of response_game must be a Joint"):
        response_game(game, 0, [[0.5, 0.5]])
    with pytest.raises(ValueError, match="'policy' parameter of response_game must be"):
        response_game(game, 0, JointPolicy.uniform(make("big-match")))
    other = make("big-match")
    told = CorrelatedPolicy.product(other, JointPolicy.uniform(other))
    with pytest.raises(ValueError, match="'correlated' parameter of response_game must be"):
        response_game(game, 0, told)
