"""Distances between games and between policies, by hand and by their laws."""

import numpy as np
import pytest
from test_evaluation import CLOCKS, random_game, random_policy

from metamarl.algorithms.evaluation import evaluate
from metamarl.algorithms.policy import JointPolicy
from metamarl.distances import (
    divergence,
    payoff_distance,
    potential_difference,
    similarity,
    transition_distance,
)
from metamarl.envs import MarkovGame, make, tasks


@pytest.mark.parametrize("kind", CLOCKS)
def test_divergences_by_hand(kind):
    arguments = random_game(kind, (2, 3))
    game = MarkovGame(**arguments)
    p, q = random_policy(arguments, 1), random_policy(arguments, 2)
    for name, of in (
        ("kl", lambda x, y: (x[x > 0] * np.log(x[x > 0] / y[x > 0])).sum()),
        ("euclidean", lambda x, y: 0.5 * ((x - y) ** 2).sum()),
    ):
        found = divergence(game, JointPolicy(p), JointPolicy(q), name)
        for j, (s, h) in enumerate(zip(game.nodes.states, game.nodes.steps, strict=True)):
            pick = (h, s) if game.horizon is not None else s
            assert found[j] == pytest.approx(
                sum(of(x[pick], y[pick]) for x, y in zip(p, q, strict=True))
            )
        assert not divergence(game, JointPolicy(p), JointPolicy(p), name).any()


def test_an_excluded_action_is_infinitely_far():
    game = MarkovGame(np.ones((1, 2, 1)), np.zeros((1, 1, 2)), horizon=1)
    pure, mixed = JointPolicy([[[[1.0, 0.0]]]]), JointPolicy.uniform(game)
    assert divergence(game, mixed, pure)[0] == np.inf
    assert divergence(game, pure, mixed)[0] == pytest.approx(np.log(2))


@pytest.mark.parametrize("kind", CLOCKS)
def test_distances_by_hand(kind):
    one, two = random_game(kind, (2, 3), masked=False), random_game(kind, (2, 3), 1, masked=False)
    games = [MarkovGame(**one), MarkovGame(**two)]
    assert payoff_distance(*games) == pytest.approx(abs(one["reward"] - two["reward"]).max())
    shift = 0.5 * abs(one["transition"] - two["transition"]).sum(-1).max()
    assert transition_distance(*games) == pytest.approx(shift)
    assert payoff_distance(games[0], games[0]) == transition_distance(games[1], games[1]) == 0.0


def test_similarity_of_families():
    policies = [JointPolicy.uniform(g) for g in tasks("soccer", n=3)]
    same = similarity(tasks("soccer", n=3, spread=0.0), policies)
    assert same.payoff == same.transition == 0.0
    assert same.kl == pytest.approx(0.0, abs=1e-12)
    assert same.euclidean == pytest.approx(0.0, abs=1e-12)
    near, far = (similarity(tasks("soccer", n=3, spread=spread)) for spread in (0.01, 0.2))
    assert 0 < near.payoff < far.payoff
    assert 0 < near.transition < far.transition <= 1
    assert near.kl is None


def test_similarity_of_policies_by_hand():
    game = MarkovGame(np.ones((1, 2, 1, 1)), np.zeros((2, 1, 2, 1)), horizon=2)
    left, right = np.array([[[1.0, 0.0]]] * 2), np.array([[[0.0, 1.0]]] * 2)
    alone = np.ones((2, 1, 1))
    found = similarity([game] * 2, [JointPolicy([left, alone]), JointPolicy([right, alone])])
    assert found.kl == pytest.approx(2 * np.log(2))  # two steps, each log 2 from the mean
    assert found.euclidean == pytest.approx(2 * 0.25)


@pytest.mark.parametrize("clock", [{"horizon": 3}, {"horizon": None, "discount": 0.8}])
def test_potential_differences(clock):
    """Exact for equal transitions: the best joint plan for the change; else a bound from above."""
    options = {"kind": "potential", "states": 3, "actions": (2, 2), **clock}
    one, two = (make("random", seed=s, **options) for s in (0, 1))
    P, R = one.dense()
    S = MarkovGame(P, R + 0.25, initial=one.initial, **clock)
    duration = 3 if one.horizon else 5.0
    assert potential_difference([one, S]) == pytest.approx(0.25 * duration)
    assert potential_difference([one, S, one]) == pytest.approx(0.5 * duration)
    rng = np.random.default_rng(0)
    plans = [JointPolicy.uniform(one)]
    for _ in range(50):
        weights = [rng.exponential(size=a.shape) ** 4 for a in JointPolicy.uniform(one)]
        plans.append(JointPolicy([w / w.sum(-1, keepdims=True) for w in weights]))
    for other in (two, MarkovGame(P, two.dense()[1], initial=one.initial, **clock)):
        most = max(abs(evaluate(one, p) - evaluate(other, p))[0] for p in plans)
        assert 0 < most <= potential_difference([one, other])
    with pytest.raises(ValueError, match="known potential"):
        potential_difference([make("random"), make("random")])


@pytest.mark.parametrize("of", [payoff_distance, transition_distance])
def test_what_is_no_game_is_refused(of):
    game = make("rps")
    with pytest.raises(TypeError, match="MarkovGame"):
        of(game, 3)
    for of_many in (similarity, potential_difference):
        with pytest.raises(TypeError, match="sequence of MarkovGames"):
            of_many(3)
    with pytest.raises(TypeError, match="a JointPolicy"):
        divergence(game, 3, JointPolicy.uniform(game))


def test_games_that_are_not_alike_are_refused():
    near, far = (make("random", horizon=None, discount=d) for d in (0.9, 0.5))
    with pytest.raises(ValueError, match="alike in clock"):
        payoff_distance(near, far)
    one, two = tasks("rps", n=1)[0], tasks("rps", n=1, rounds=3)[0]
    with pytest.raises(ValueError, match="alike in clock"):
        payoff_distance(one, two)
    with pytest.raises(ValueError, match="one policy for each"):
        similarity([one], [])
    with pytest.raises(ValueError, match="one of kl, euclidean"):
        divergence(one, JointPolicy.uniform(one), JointPolicy.uniform(one), "bregman")
