"""Backward passes over games without cycles: all players at once, in parts, rows of any length."""

import itertools

import numpy as np
import pytest
from test_evaluation import SIZES, random_game, random_policy

import metamarl as mm
from metamarl.algorithms import backward
from metamarl.algorithms.evaluator import Evaluator

KINDS = ["steps", "timed", "timed-discounted", "acyclic"]


def in_threads(monkeypatch, n):
    monkeypatch.setattr(backward, "WORTH_IT", 0.0)
    monkeypatch.setattr(backward, "default_threads", lambda: n)


def apart(game, flat, correlated):
    """Everybody's gain, by a pass for each value."""
    judge, options = Evaluator(game), {"correlated": correlated}
    return [
        judge.value(flat, i, respond=True, **options)
        - judge.value(flat, i, respond=False, **options)
        for i in range(game.n_players)
    ]


def correlated(game, seed):
    """A flat joint policy that is no product, zero on some actions."""
    joints = game.nodes.joints
    weight = np.random.default_rng(seed).exponential(size=int(joints[-1])) ** 3
    weight[weight < 0.1] = 0.0
    weight[joints[:-1]] += 0.01
    return weight / np.repeat(np.add.reduceat(weight, joints[:-1]), np.diff(joints))


def dense(sizes, n_states=37, horizon=3):
    """Rows longer than a vector, no multiple of one; the last state's stop short of the others."""
    rng = np.random.default_rng(len(sizes))
    shape = (n_states, *sizes)
    moves = rng.dirichlet(np.ones(n_states), shape)
    moves[-1, ..., 3] = 0.0
    moves /= moves.sum(-1, keepdims=True)
    return mm.MarkovGame(moves, rng.normal(size=(len(sizes), *shape)), horizon=horizon)


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_all_players_at_once(kind, sizes, monkeypatch):
    for seed, n_states in enumerate([2, 5, 9]):
        arguments = random_game(kind, sizes, seed, n_states)
        game = mm.MarkovGame(**arguments)
        flat = mm.JointPolicy(random_policy(arguments, seed, pure=seed == 1)).flat(game)
        for policy, joint in ((flat, False), (correlated(game, seed), True)):
            gains = apart(game, policy, joint)
            for n in (1, 2, 3):
                in_threads(monkeypatch, n)
                judge = Evaluator(game)
                found = (judge.cce_gap if joint else judge.nash_gap)(policy)
                assert found == pytest.approx(max(0.0, *gains), rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("sizes", [(3,), (2, 3), (2, 1, 3)])
def test_long_rows(sizes, monkeypatch):
    game = dense(sizes)
    flat = mm.JointPolicy.uniform(game).flat(game)
    for policy, joint in ((flat, False), (correlated(game, 1), True)):
        in_threads(monkeypatch, 2)
        judge = Evaluator(game)
        found = (judge.cce_gap if joint else judge.nash_gap)(policy)
        assert found == pytest.approx(max(apart(game, policy, joint)), rel=1e-11)
    # As in plain arrays, where one player is left to choose.
    transition, reward = game.dense()
    values = np.zeros(game.n_states)
    axes = tuple(range(1, 1 + len(sizes)))
    for _ in range(3):
        values = (reward[0] + transition @ values).mean(axes)
    assert mm.evaluate(game, mm.JointPolicy.uniform(game))[0] == pytest.approx(values.mean())


def test_threads_change_no_bit(monkeypatch):
    games = [dense((2, 3)), dense((2, 2, 2)), mm.make("goofspiel"), mm.make("tictactoe")]
    for game in games:
        flat, found = mm.JointPolicy.uniform(game).flat(game), []
        for n in (1, 2, 3, 50):  # more threads than nodes in some groups
            in_threads(monkeypatch, n)
            judge = Evaluator(game)
            judge.value(flat, game.n_players - 1, respond=True)
            found.append((judge.nash_gap(flat), judge.values.copy(), judge.choice))
        for gap, values, choice in found[1:]:
            assert gap == found[0][0]
            np.testing.assert_array_equal(values, found[0][1])
            np.testing.assert_array_equal(choice, found[0][2])


@pytest.mark.parametrize("interests", [-1.0, -2.0])  # zero-sum, and not
def test_a_policy_that_is_no_number_certifies_nothing(interests):
    """Nor before a choice between a state that has such a policy and another one."""
    moves = np.zeros((3, 2, 2, 3))
    moves[0, 0, :, 1] = moves[0, 1, :, 2] = moves[1:, ..., 2] = 1.0
    reward = np.zeros((3, 2, 2))
    reward[1] = [5.0, 7.0]
    game = mm.MarkovGame(
        moves, np.stack([reward, interests * reward]), horizon=3, initial=[1.0, 0.0, 0.0]
    )
    flat, slots = mm.JointPolicy.uniform(game).flat(game), game.nodes.slots
    for i, j in itertools.product(range(2), range(len(game.nodes.states))):
        broken = flat.copy()
        broken[slots[i, j] : slots[i, j + 1]] = np.nan
        judge = Evaluator(game)
        assert judge.nash_gap(broken) == np.inf
        assert not np.isfinite(judge.value(broken, 1 - i, respond=True))


@pytest.mark.parametrize("kind", ["timed", "acyclic", "discounted"])
def test_policy_gradients_in_threads(kind, monkeypatch):
    arguments = random_game(kind, (2, 1, 3), 4, 6)
    arguments["reward"][1:] = arguments["reward"][0]
    game, found = mm.MarkovGame(**arguments), []
    for n in (1, 2, 3):
        in_threads(monkeypatch, n)
        for solver in ("q-ascent", "pg", "npg"):
            solution = mm.solve(game, solver, tol=1e-9, max_iterations=20, throw=False)
            found.append(solution.policy.flat(game))
    for k, flat in enumerate(found):
        np.testing.assert_array_equal(flat, found[k % 3])


def test_only_large_groups_are_shared(monkeypatch):
    """A horizon's first steps, from one state, are small, and gone through in one call."""
    game = mm.make("goofspiel", cards=4)
    work = backward.node_work(game)[game.nodes.groups]
    monkeypatch.setattr(backward, "WORTH_IT", np.sort(np.diff(work))[-1])
    plan = Evaluator(game)._both._plan(2)
    largest = int(np.argmax(np.diff(work)))
    assert [(first, last) for first, last, cuts in plan if len(cuts) == 3] == [
        (largest, largest + 1)
    ]
    parts = [(cuts[0], cuts[-1]) for _, _, cuts in plan][::-1]
    assert parts[0][0] == 0
    assert parts[-1][1] == len(game.nodes.states)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(parts))
    assert len(Evaluator(game)._both._plan(1)) == 1
