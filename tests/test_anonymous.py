"""Anonymous games, against the same games with their joint actions one by one."""

import itertools
import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import metamarl as mm
from metamarl.algorithms.counts import OthersCounts


def draw(seed, players, states, actions, *, kind="general-sum", **clock):
    """A random anonymous game; its rewards come from a potential where `kind` says so."""
    rng = np.random.default_rng(seed)
    vectors = mm.count_vectors(players, actions)
    K, potential = len(vectors), None
    reward = rng.normal(size=(states, K, actions))
    moves = rng.dirichlet(np.ones(states), (states, K))
    if kind == "congestion":  # Rosenthal (1973): pay that depends on the load of one's own facility
        pay = rng.normal(size=(states, actions, players + 1))
        pay[:, :, 0] = 0.0
        reward = pay[:, np.arange(actions), vectors]
        potential = pay.cumsum(-1)[:, np.arange(actions), vectors].sum(-1)
        moves[:] = moves[:, :1]
    if kind == "common":
        reward[:] = reward[:, :, :1]
    return mm.AnonymousGame(
        players, reward, moves, potential=potential if kind == "congestion" else None, **clock
    )


def draw_policy(game, seed):
    rng = np.random.default_rng(seed)
    shape = (*(() if game.horizon is None else (game.horizon,)), game.n_states)
    return mm.JointPolicy([rng.dirichlet(np.ones(k), shape) for k in game.n_actions])


@pytest.mark.parametrize(("players", "actions"), [(0, 3), (1, 1), (1, 4), (3, 1), (4, 3), (8, 4)])
def test_counts(players, actions):
    vectors = mm.count_vectors(players, actions)
    assert vectors.shape == (math.comb(players + actions - 1, actions - 1), actions)
    assert (vectors >= 0).all()
    assert (vectors.sum(1) == players).all()
    assert len(np.unique(vectors, axis=0)) == len(vectors)
    assert vectors[0, 0] == players
    assert (np.diff(vectors[:, 0]) <= 0).all()


@pytest.mark.parametrize(("players", "actions"), [(1, 2), (2, 1), (2, 3), (5, 3), (4, 2), (3, 4)])
def test_the_others_counts_against_all_their_joint_actions(players, actions):
    game = draw(0, players, 2, actions, discount=0.5)
    policy = draw_policy(game, 1)
    flat, others = policy.flat(game, "test"), OthersCounts(game)
    vectors = mm.count_vectors(players - 1, actions).tolist()
    for player in range(players):
        found = others.flat(flat, player)
        np.testing.assert_array_equal(found[: 2 * actions], policy[player].ravel())
        wanted = np.zeros((2, len(vectors)))
        rest = [p for p in range(players) if p != player]
        for joint in itertools.product(range(actions), repeat=players - 1):
            place = vectors.index([joint.count(a) for a in range(actions)])
            weights = [policy[p][:, a] for p, a in zip(rest, joint, strict=True)]
            wanted[:, place] += np.prod(weights, axis=0) if weights else 1.0
        np.testing.assert_allclose(found[2 * actions :], wanted.ravel(), rtol=1e-13)


CLOCKS = st.sampled_from([{"discount": 0.8}, {"horizon": 3}, {"horizon": 2, "discount": 0.5}])


@settings(deadline=None)
@given(
    seed=st.integers(0, 10**6),
    players=st.integers(1, 4),
    states=st.integers(1, 3),
    actions=st.integers(1, 3),
    clock=CLOCKS,
    kind=st.sampled_from(["general-sum", "congestion", "common"]),
)
def test_values_gaps_and_responses_are_those_of_all_joint_actions(
    seed, players, states, actions, clock, kind
):
    game = draw(seed, players, states, actions, kind=kind, **clock)
    whole, policy = game.expanded(), draw_policy(game, seed)
    close = {"rtol": 1e-9, "atol": 1e-9}
    np.testing.assert_allclose(mm.evaluate(game, policy), mm.evaluate(whole, policy), **close)
    assert mm.nash_gap(game, policy) == pytest.approx(mm.nash_gap(whole, policy), abs=1e-9)
    for player in range(players):
        best, _ = mm.best_response(game, policy, player)
        assert best == pytest.approx(mm.best_response(whole, policy, player)[0], abs=1e-9)
    joint = mm.CorrelatedPolicy.product(game, policy)
    assert mm.cce_gap(game, joint) == pytest.approx(mm.cce_gap(whole, joint), abs=1e-9)
    assert mm.ce_gap(game, joint) == pytest.approx(mm.ce_gap(whole, joint), abs=1e-9)
    if players > 1 and kind != "general-sum":
        assert game.kind == "potential"


@pytest.mark.parametrize("solver", ["q-ascent", "pg", "npg"])
@pytest.mark.parametrize("clock", [{"discount": 0.8}, {"horizon": 4}])
@pytest.mark.parametrize("kind", ["congestion", "common"])
def test_the_same_steps_as_with_all_joint_actions(solver, clock, kind):
    game = draw(3, 4, 2, 3, kind=kind, **clock)
    wide = game.expanded()
    rows = game.potential
    if kind == "congestion":  # the same stage potential, spread over the joint actions
        rows = np.zeros((2, len(game.vectors)))
        rows[:, game.joined.T] = game.potential.reshape(2, 3, -1)
        rows = rows[:, game.joint_counts().ravel()].ravel()
        wide = mm.MarkovGame.from_table(
            game.table, game.initial, game.horizon, game.discount, potential=rows
        )
    start = draw_policy(game, 5)
    few = {"max_iterations": 15, "throw": False, "init": start, "tol": 1e-12}
    one, other = (mm.solve(g, solver, **few) for g in (game, wide))
    assert one.iterations == other.iterations
    for ours, theirs in zip(one.policy, other.policy, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-8)
    assert mm.potential_value(game, start) == pytest.approx(mm.potential_value(wide, start))


def test_which_anonymous_games_are_potential_games():
    congestion = draw(0, 4, 2, 3, kind="congestion", discount=0.9)
    found = mm.find_potential(congestion)
    assert found.status == "potential"
    fresh = mm.AnonymousGame(4, congestion._reward, congestion._moves, discount=0.9)
    assert fresh.kind == "general-sum"  # not declared, but found
    rows = mm.find_potential(fresh).rows
    difference = (rows - congestion.potential).reshape(2, -1)
    assert np.ptp(difference, axis=1) == pytest.approx(0.0, abs=1e-12)
    reward = congestion._reward.copy()
    reward[1, 5, np.flatnonzero(congestion.vectors[5])[0]] += 0.1
    assert (
        mm.find_potential(mm.AnonymousGame(4, reward, congestion._moves, discount=0.9)).status
        == "not potential"
    )
    assert mm.find_potential(draw(0, 3, 2, 2, kind="common", discount=0.9)).status == "potential"
    assert mm.find_potential(draw(0, 3, 2, 2, discount=0.9)).status == "not potential"
    large = mm.make("safe-distancing", agents=30)
    assert mm.find_potential(large).status == "unknown"  # too large for a cycle of policies


def test_safe_distancing_of_forty_agents():
    """The cooperative plan of Leonardos et al. (2022), with 5 times as many agents.

    Half on each of the two best facilities pays (4 + 6) / 2 · 20 on average; spread evenly it is
    (1 + 2 + 4 + 6) / 4 · 10 - 100, and then all is safe.
    """
    game = mm.make("safe-distancing", agents=40)
    policy = [np.zeros((2, 4)) for _ in range(40)]
    for i, own in enumerate(policy):
        own[0, 2 + i % 2] = own[1, i % 4] = 1.0
    value = mm.evaluate(game, mm.JointPolicy(policy)).mean()
    safe, distancing = 100.0 / 0.01, 32.5 - 100.0 + 0.99 * 100.0 / 0.01
    assert value == pytest.approx((safe + distancing) / 2)
    with pytest.raises(ValueError, match="of memory"):
        _ = game.table
    with pytest.raises(ValueError, match="of memory"):
        mm.solve(game, "omd")


def test_thirty_drivers_reach_an_equilibrium():
    game = mm.make("routing", drivers=30)
    solution = mm.solve(game)
    assert solution.gap <= 1e-3
    assert mm.nash_gap(game, solution.policy) == pytest.approx(solution.gap)


@pytest.mark.parametrize("knobs", [("routing", {}), ("stag-hunt", {"hunters": 3})])
def test_anonymous_games_travel_to_workers(knobs):
    import pickle

    game = mm.make(knobs[0], **knobs[1])
    again = pickle.loads(pickle.dumps(game))
    policy = mm.JointPolicy.uniform(game)
    assert mm.nash_gap(again, policy) == mm.nash_gap(game, policy)


GOOD = {"players": 2, "reward": np.zeros((1, 3, 2)), "transition": np.ones((1, 3, 1))}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"players": 0}, "'players' parameter of AnonymousGame"),
        ({"players": 3}, r"shape \(S, 4, 2\), the counts of 3 players"),
        ({"reward": np.zeros((3, 2))}, r"shape \(S, K, m\)"),
        ({"reward": np.full((1, 3, 2), np.nan)}, r"state 0, action 0, counts \[2, 0\]"),
        ({"transition": np.ones((1, 3))}, r"shape \(1, 3, 1\)"),
        ({"transition": np.full((1, 3, 1), 0.5)}, r"sums to 0.5, in state 0, counts \[2, 0\]"),
        ({"transition": sp.csr_array(np.ones((2, 1)))}, "sparse matrix"),
        ({"potential": np.zeros((3, 1))}, r"shape \(1, 3\)"),
        ({"potential": [[0.0, 1.0, 2.0]]}, "1 of difference in state 0, the others' counts"),
        ({"actions": ["left"]}, r"names, player by player"),
        ({"reward": np.ones((1, 3, 2)), "discount": 1.0}, "end by itself"),
    ],
)
def test_bad_input_is_refused(change, match):
    options = {"discount": 0.9, **GOOD, **change}
    with pytest.raises((TypeError, ValueError), match=match):
        mm.AnonymousGame(**options)


def test_what_nobody_chose_is_not_looked_at():
    reward = np.zeros((1, 3, 2))
    reward[0, 0, 1] = np.nan  # nobody is on action 1 when both are on action 0
    assert mm.AnonymousGame(2, reward, np.ones((1, 3, 1)), discount=0.5).table.reward.max() == 0.0


def test_counts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="of memory"):
        mm.count_vectors(10**400, 3)
    with pytest.raises(ValueError, match="of memory"):
        mm.count_vectors(1000, 20)
