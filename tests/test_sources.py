"""Policies composed of many: against plain NumPy, their guarantee, and what they save."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_evaluation import FAST, random_game, random_policy

import metamarl as mm
from metamarl.algorithms.composition import compose
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.policy import JointPolicy
from metamarl.envs import MarkovGame, make, tasks
from metamarl.sources import Select

ACYCLIC = ["steps", "timed", "timed-discounted", "acyclic"]
CYCLIC = ["discounted", "ending", "ending-discounted"]


def drawn(kind, n_actions, seed, zero_sum, count=4):
    """A random game, and flat policies of it: the first is uniform."""
    arguments = random_game(kind, n_actions, seed, zero_sum=zero_sum)
    game = MarkovGame(**arguments)
    past = [JointPolicy(random_policy(arguments, seed + k, pure=k % 2)) for k in range(1, count)]
    return game, [p.flat(game) for p in (JointPolicy.uniform(game), *past)]


def stage(game, node, i, later):
    """Player i's legal joint action values at a node, given values of what comes later."""
    table, nodes = game.table, game.nodes
    step, s = int(nodes.steps[node]), int(nodes.states[node])
    rows = slice(int(table.rows[s]), int(table.rows[s + 1]))
    first = step * table.reward_stride
    pay = table.reward[i, first : first + table.n_rows][rows]
    move = table.successors(step if table.transition_stride else 0).toarray()[rows]
    return (pay + game.discount * move @ later).reshape(table.counts[s])


def against(Q, i, parts):
    """`(A_i,)` what player i's actions are worth where the others play `parts`."""
    Q = np.moveaxis(Q, i, -1)
    for j in range(len(parts)):
        if j != i:
            Q = np.tensordot(parts[j], Q, axes=(0, 0))
    return Q


def plain(game, sources):
    """The composition, node by node, in plain NumPy (games without cycles)."""
    nodes, n = game.nodes, game.n_players
    best, kept = np.zeros((n, game.n_states)), np.zeros((n, game.n_states))
    flat = np.empty_like(sources[0])
    for g in range(nodes.n_groups - 1, -1, -1):
        news = []
        for node in range(nodes.groups[g], nodes.groups[g + 1]):
            spans = [slice(*nodes.slots[i, node : node + 2]) for i in range(n)]
            top = [stage(game, node, i, best[i]) for i in range(n)]
            own = [stage(game, node, i, kept[i]) for i in range(n)]

            def gains(parts, top=top, own=own):
                most = [against(top[i], i, parts).max() for i in range(n)]
                return most, [against(own[i], i, parts) @ parts[i] for i in range(n)]

            def search(judge, chosen, spans=spans):
                parts = [[source[spans[i]] for i in range(n)] for source in sources]
                order = sorted(range(len(sources)), key=lambda k: judge(parts[k]))
                means = [
                    [np.mean([parts[k][i] for k in order[: m + 1]], 0) for i in range(n)]
                    for m in range(len(sources))
                ]
                found = min(means, key=judge)
                for i in chosen:
                    flat[spans[i]] = found[i]

            if game.kind == "zero-sum":
                for i in range(2):
                    search(lambda p, i=i: gains(p)[0][1 - i], [i])
            else:
                search(lambda p: sum(gains(p)[0]) - sum(gains(p)[1]), range(n))
            news.append((nodes.states[node], gains([flat[span] for span in spans])))
        for s, (most, mine) in news:
            best[:, s], kept[:, s] = most, mine
    return flat


def assert_as_good(game, sources):
    """Where sources tie, rounding decides; what the composition is worth is the same."""
    judge = Evaluator(game)
    found, wanted = compose(game, sources, judge), plain(game, sources)
    np.testing.assert_allclose(judge.node_gaps(found), judge.node_gaps(wanted), atol=1e-9)


@given(
    st.sampled_from(ACYCLIC), st.sampled_from([(2, 3), (1, 3), (4, 1)]), st.integers(0, 2**32 - 9)
)
@FAST
def test_zero_sum_compositions_in_plain_numpy(kind, n_actions, seed):
    assert_as_good(*drawn(kind, n_actions, seed, True))


@given(
    st.sampled_from(ACYCLIC),
    st.sampled_from([(1,), (3,), (2, 3), (2, 1, 3)]),
    st.integers(0, 2**32 - 9),
)
@FAST
def test_compositions_of_any_players_in_plain_numpy(kind, n_actions, seed):
    assert_as_good(*drawn(kind, n_actions, seed, False))


@given(st.sampled_from(ACYCLIC), st.integers(0, 2**32 - 9))
@FAST
def test_no_source_is_better_anywhere_in_a_zero_sum_game(kind, seed):
    game, sources = drawn(kind, (3, 4), seed, True, 6)
    judge = Evaluator(game)
    found = judge.node_gaps(compose(game, sources, judge))
    for source in sources:
        assert (found <= judge.node_gaps(source) + 1e-9).all()


@given(st.sampled_from(CYCLIC), st.integers(0, 2**32 - 9))
@FAST
def test_with_cycles_the_first_source_is_nowhere_better(kind, seed):
    game, sources = drawn(kind, (3, 4), seed, True, 6)
    judge = Evaluator(game)
    found = judge.node_gaps(compose(game, sources, judge))
    assert (found <= judge.node_gaps(sources[0]) + 1e-9).all()


def test_with_cycles_it_is_about_as_good_as_every_source():
    size = {"rows": 2, "columns": 3}
    game = make("soccer", **size)
    solved = mm.solve(game).policy.flat(game)
    wide = [make("soccer", prizes=prizes, **size) for prizes in ((1, 3), (3, 1))]
    others = [mm.solve(other).policy.flat(game) for other in wide]
    judge = Evaluator(game)
    uniform = JointPolicy.uniform(game).flat(game)
    found = judge.nash_gap(compose(game, [uniform, *others, solved], judge))
    assert found <= 0.05 * min(judge.nash_gap(policy) for policy in others)


def test_one_player_takes_the_better_policy_in_every_state():
    """Two ways in, two rooms; every source knows one of the rooms."""
    P = np.zeros((3, 2, 3))
    P[0, 0, 1] = P[0, 1, 2] = P[1, :, 1] = P[2, :, 2] = 1.0
    R = np.array([[[0.0, 0.0], [0.0, 1.0], [2.0, 0.0]]])
    game = MarkovGame(P, R, initial=[1, 0, 0], horizon=2)
    one = JointPolicy([np.tile([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], (2, 1, 1))])
    other = JointPolicy([np.tile([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], (2, 1, 1))])
    judge = Evaluator(game)
    found = compose(game, [one.flat(game), other.flat(game)], judge)
    assert judge.value(found, 0, respond=False) == 2.0
    assert judge.value(one.flat(game), 0, respond=False) == 1.0


def test_of_anonymous_games_every_node_takes_the_policy_with_the_smallest_gap():
    game = make("safe-distancing", agents=24)
    judge = Evaluator(game)
    rng = np.random.default_rng(0)
    policies = [JointPolicy(list(rng.dirichlet(np.ones(4), (24, 2)))).flat(game) for _ in range(3)]
    gaps = np.array([judge.node_gaps(policy) for policy in policies])
    found = JointPolicy.from_flat(game, compose(game, policies, judge))
    for s in range(2):
        best = JointPolicy.from_flat(game, policies[int(gaps[:, s].argmin())])
        assert all(np.array_equal(found[i][s], best[i][s]) for i in range(24))


# --- the start


def test_by_hand():
    """Zero-sum, one round: of [1, 0] and [0, 1] it finds the mean; the other has it already."""
    Q = np.array([[1.0, -1.0], [-1.0, 1.0]])
    game = MarkovGame(np.ones((1, 2, 2, 1)), [[Q], [-Q]], horizon=1)
    past = [JointPolicy([[[row]], [[[0.5, 0.5]]]]) for row in ([1.0, 0.0], [0.0, 1.0])]
    start = Select(least=0.0).start(game, past)
    np.testing.assert_allclose(start[0], [[[0.5, 0.5]]])
    np.testing.assert_allclose(start[1], [[[0.5, 0.5]]])


@pytest.mark.parametrize(("caution", "least"), [(25.0, 0.01), (1.0, 0.0), (0.0, 0.2)])
def test_the_part_of_the_uniform_policy_by_hand(caution, least):
    """Of [0.8, 0.2] twice and [0.5, 0.5] the mean of all is best, of [0.7, 0.3] twice that."""
    Q = np.array([[1.0, 0.0], [0.0, 3.0]])
    game = MarkovGame(np.ones((1, 2, 2, 1)), [[Q], [-Q]], horizon=1)
    start = Select(caution=caution, least=least).start(
        game, [JointPolicy([[[[0.8, 0.2]]], [[[0.7, 0.3]]]])] * 2
    )
    ratio = (0.9 - 0.7) / (1.5 - 0.5)
    part = max(least, caution * ratio**2 / (1 + caution * ratio**2))
    np.testing.assert_allclose(start[0][0, 0], (1 - part) * np.array([0.7, 0.3]) + part / 2)
    np.testing.assert_allclose(start[1][0, 0], (1 - part) * np.array([0.7, 0.3]) + part / 2)


def test_a_game_solved_before_is_found_among_others():
    games = [make("random", seed=seed) for seed in (0, 1, 2)]
    past = [mm.solve(game).policy for game in games]
    for k, game in enumerate(games):
        start = Select().start(game, past)
        expected = 0.99 * past[k].flat(game) + 0.01 * JointPolicy.uniform(game).flat(game)
        np.testing.assert_allclose(start.flat(game), expected, atol=1e-9)


@pytest.mark.parametrize("name", ["prisoners", "routing", "bargaining", "stopping", "tictactoe"])
def test_starts_are_policies_in_games_of_every_kind(name):
    games = tasks(name, n=3, spread=0.1)
    past = [JointPolicy.uniform(game) for game in games[:2]]
    start = Select().start(games[2], past)
    assert isinstance(mm.evaluate(games[2], JointPolicy(list(start))), np.ndarray)


def test_recurring_games_in_turn_are_solved_faster_than_from_their_average():
    one, other = make("random", seed=0), make("random", seed=7)
    found = mm.compare([one, other] * 4, ["average", "select"], "omd", 1e-2)
    count = dict.fromkeys(found.arms, 0)
    for row in found.rows:
        count[row["arm"]] += row["iterations"] * (row["task"] >= 2)
    assert count["none"] > 10 * count["select"]
    assert count["average"] > 5 * count["select"]
    first = {row["arm"]: row["iterations"] for row in found.rows if row["task"] == 1}
    assert first["select"] <= 1.25 * first["none"]  # of no use yet, and of little harm


def test_options_are_checked():
    with pytest.raises(ValueError, match="'caution' parameter of Select must be"):
        Select(caution=-1.0)
    with pytest.raises(ValueError, match="'least' parameter of Select must be"):
        Select(least=1.5)
    game = make("stopping")
    with pytest.raises(ValueError, match="'policy' parameter of Select must be"):
        Select().start(game, [JointPolicy.uniform(make("big-match"))])
