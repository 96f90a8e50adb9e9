"""Potentials: found ones against brute force, given ones at the door, and what cannot be told."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_evaluation import CLOCKS, random_game, solve_chain

from metamarl.envs import MarkovGame, make
from metamarl.envs.potential import Potential, find_potential

FAST = settings(deadline=None, max_examples=150, derandomize=True)
SENTENCE = r"The 'potential' parameter of MarkovGame must be [^\n]+\. Got [^\n]+ instead\."
SIZES = [(2, 3), (2, 2, 2), (3, 1, 2), (1, 3)]


def without(array, axis):
    """The same along `axis`: what a player's own action does not change."""
    return np.broadcast_to(array.mean(axis, keepdims=True), array.shape)


def still_game(kind, n_actions, seed=0, **options):
    """Arguments of a game whose transitions do not depend on actions, and its stage potential.

    Rewards are the potential and what only the others' actions change.
    """
    arguments = random_game(kind, n_actions, seed, **options)
    rng = np.random.default_rng([seed, 1])
    n, shape = len(n_actions), arguments["reward"].shape[1:]
    first = len(shape) - n
    potential = rng.normal(size=shape)
    arguments["reward"] = np.stack(
        [potential + without(rng.normal(size=shape), first + i) for i in range(n)]
    )
    P = arguments["transition"]
    moves = P[(..., *(slice(0, 1),) * n, slice(None))]
    arguments["transition"] = np.broadcast_to(moves, P.shape).copy()
    if kind.startswith("ending") or kind == "acyclic":
        arguments["reward"][:, -1] = potential[-1] = 0.0
    return arguments, potential


def check_rows(game, rows):
    """A stage potential is one that the game's door lets pass."""
    again = MarkovGame.from_table(
        game.table, game.initial, game.horizon, game.discount, potential=rows
    )
    assert again.kind == "potential"
    np.testing.assert_array_equal(again.potential, rows)


# --- found potentials


@pytest.mark.parametrize("n_actions", SIZES)
@pytest.mark.parametrize("kind", CLOCKS)
def test_still_transitions(kind, n_actions):
    for seed in range(3):
        arguments, _ = still_game(kind, n_actions, seed)
        game = MarkovGame(**arguments)
        found = find_potential(game)
        assert found
        assert found.status == "potential"
        assert found.witness is None
        check_rows(game, found.rows)
        steps = arguments["horizon"] if kind.startswith("timed") else 1
        assert found.rows.shape == (steps * game.table.n_rows,)


@pytest.mark.parametrize("n_actions", [(2, 3), (2, 2, 2), (1, 2, 3)])
@pytest.mark.parametrize("kind", CLOCKS)
def test_identical_interests(kind, n_actions):
    arguments = random_game(kind, n_actions, 3, masked=False)
    arguments["reward"][1:] = arguments["reward"][0]
    game = MarkovGame(**arguments)
    found = find_potential(game)
    assert game.kind == "potential"
    assert found
    np.testing.assert_array_equal(found.rows, game.table.reward[0])
    np.testing.assert_array_equal(game.potential, game.table.reward[0])
    shifted = arguments | {"reward": arguments["reward"] + 0.0}
    shifted["reward"][1] += 7.0
    if kind in ("ending", "ending-discounted", "acyclic"):
        shifted["reward"][1, -1] -= 7.0
    game = MarkovGame(**shifted)
    assert game.kind == "general-sum"
    assert game.potential is None
    # A constant is the same whatever is played, unless it is paid for a time that depends on play.
    found = find_potential(game)
    if kind in ("ending", "ending-discounted", "acyclic"):
        assert found.status == "not potential"
    else:
        assert found.status == "potential"
        np.testing.assert_array_equal(found.rows, game.table.reward[0])


def test_constants_may_depend_on_the_step():
    arguments = random_game("timed", (2, 2), 3)
    arguments["reward"][1] = arguments["reward"][0] + np.arange(4.0).reshape(4, 1, 1, 1)
    assert find_potential(MarkovGame(**arguments))


def test_one_player_is_a_potential_game():
    game = MarkovGame(**random_game("discounted", (3,)))
    found = find_potential(game)
    assert found
    np.testing.assert_array_equal(found.rows, game.table.reward[0])


def test_repeated_games():
    """One state: the repeated game has a potential exactly if the stage game has."""
    dilemma = np.array([[[3.0, 0.0], [5.0, 1.0]], [[3.0, 5.0], [0.0, 1.0]]])
    pennies = np.array([[[1.0, -1.0], [-1.0, 1.0]], [[-1.0, 1.0], [1.0, -1.0]]])
    sexes = np.array([[[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 2.0]]])
    for clock in ({"horizon": 3}, {"discount": 0.5}):
        for payoffs, is_one in ((dilemma, True), (pennies, False), (sexes, True)):
            game = MarkovGame(np.ones((1, 2, 2, 1)), payoffs[:, None], **clock)
            found = find_potential(game)
            assert found.status == ("potential" if is_one else "not potential")
            if is_one:
                check_rows(game, found.rows)
            else:
                square = found.witness
                assert (square.step, square.state, square.players) == (0, 0, (0, 1))
                assert (square.corner, square.opposite) == ((0, 0), (1, 1))
                assert abs(square.excess) == 8.0


def test_one_step_is_one_stage_wherever_it_leads():
    arguments, _ = still_game("timed", (2, 3), 5)
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.ones(4), size=(4, 2, 3))
    once = {"reward": arguments["reward"][:, 0], "transition": P, "initial": np.eye(4)[1]}
    assert find_potential(MarkovGame(**once, horizon=1))
    assert find_potential(MarkovGame(**once, discount=0.0))
    assert find_potential(MarkovGame(**once, horizon=2)).status == "not potential"
    once["reward"] = arguments["reward"][:, 0].copy()
    once["reward"][0, 0, 1, 1] += 1.0  # in a state that is not visited
    assert find_potential(MarkovGame(**once, horizon=1))
    assert find_potential(MarkovGame(**once | {"initial": np.eye(4)[0]}, horizon=1)).witness


@pytest.mark.parametrize("kind", CLOCKS)
def test_one_bad_stage_is_named(kind):
    arguments, _ = still_game(kind, (2, 3, 2), 2, masked=False)
    at = (1, 2, 1, 0, 1) if kind.startswith("timed") else (2, 1, 0, 1)
    arguments["reward"][(0, *at)] += 0.25
    found = find_potential(MarkovGame(**arguments))
    assert found.status == "not potential"
    assert not found
    assert found.rows is None
    square = found.witness
    assert square.state == 2
    assert square.step == (1 if kind.startswith("timed") else 0)
    assert 0 in square.players
    assert abs(square.excess) == pytest.approx(0.25)
    assert "state 2" in found.reason
    assert "0.25" in found.reason


def test_ends_of_all_sorts_are_one():
    """Actions decide how the game ends, and are paid at once: a stage game, and no more."""
    P = np.zeros((3, 2, 2, 3))
    P[0, [0, 1], [0, 1], 1] = P[0, [0, 1], [1, 0], 2] = 1.0
    P[1, :, :, 1] = P[2, :, :, 2] = 1.0
    reward = np.zeros((2, 3, 2, 2))
    reward[:, 0] = [[[3, 0], [5, 1]], [[3, 5], [0, 1]]]
    found = find_potential(MarkovGame(P, reward))
    assert found
    check_rows(MarkovGame(P, reward), found.rows)


def hidden_game(extra=0.0):
    """Player 0 chooses the next state; player 1 is paid there whatever anybody does."""
    P = np.zeros((3, 2, 2, 3))
    P[0, 0, :, 1] = P[0, 1, :, 2] = P[1, ..., 1] = P[2, ..., 2] = 1.0
    reward = np.zeros((2, 3, 2, 2))
    reward[1, 1] = 5.0
    reward[0, 2, 0, 1] += extra
    return MarkovGame(P, reward, [1.0, 0.0, 0.0], horizon=2)


def test_what_cannot_be_told_is_said():
    """V_1 is a function of player 0's policy alone, so that there is a potential (V_0), but no
    reason that is looked for.
    """
    found = find_potential(hidden_game())
    assert found.status == "unknown"
    assert not found
    assert "no proof" in found.reason
    assert found.rows is None
    assert find_potential(hidden_game(extra=1.0)).status == "not potential"


def test_too_large_to_try(monkeypatch):
    from metamarl.envs import _policy_cycles

    monkeypatch.setattr(_policy_cycles, "MOST_WORK", 1.0)
    found = find_potential(make("soccer"))
    assert found.status == "unknown"
    assert "too large" in found.reason


@pytest.mark.parametrize("name", ["rps", "soccer", "goofspiel", "stopping", "tictactoe"])
def test_benchmark_games_that_have_none(name):
    assert find_potential(make(name)).status == "not potential"


def test_no_game():
    with pytest.raises(TypeError, match="The 'game' parameter of find_potential must be"):
        find_potential("soccer")


# --- brute force


def all_values(arguments):
    """`(n, plans of player 0, …, plans of player n-1)` values of all deterministic policies."""
    P, R = arguments["transition"], arguments["reward"]
    n, n_states = len(R), R.shape[1]
    horizon, discount = arguments["horizon"], arguments["discount"]
    sizes = R.shape[2:]
    states = np.arange(n_states)
    steps = horizon or 1
    plans = [list(itertools.product(range(a), repeat=n_states * steps)) for a in sizes]
    values = np.zeros((n, *map(len, plans)))
    for at in itertools.product(*map(range, values.shape[1:])):
        played = [np.reshape(plans[i][k], (steps, n_states)) for i, k in enumerate(at)]
        for i in range(n):
            V = np.zeros(n_states)
            for h in reversed(range(steps)):
                joint = (states, *(p[h] for p in played))
                if horizon is None:
                    V = solve_chain(R[i][joint], P[joint], discount)
                else:
                    V = R[i][joint] + discount * P[joint] @ V
            values[(i, *at)] = arguments["initial"] @ V
    return values


def has_potential(values):
    """Monderer & Shapley's condition on the normal form: all squares of two players close."""
    n = len(values)
    for i, j in itertools.combinations(range(n), 2):
        difference = values[i] - values[j]
        square = np.diff(np.diff(difference, axis=i), axis=j)
        if np.abs(square).max(initial=0.0) > 1e-9:
            return False
    return True


@st.composite
def tiny_games(draw):
    """Small whole numbers and sure transitions, so that potentials turn up by chance."""
    sizes = draw(st.sampled_from([(2, 2), (2, 2), (2, 2, 2)]))
    n_states = draw(st.integers(1, 2)) if len(sizes) == 2 else 1
    horizon = draw(st.sampled_from([1, 2, None] if len(sizes) == 2 else [1, None]))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    shape = (n_states, *sizes)
    reward = rng.integers(0, 2, size=(len(sizes), *shape)).astype(float)
    following = rng.integers(n_states, size=shape)
    style = draw(st.sampled_from(["any", "shared", "still", "idle", "led"]))
    if style == "shared":
        reward[1:] = reward[0]
    if style in ("still", "idle"):
        following = np.broadcast_to(following[(slice(None), *(slice(0, 1),) * len(sizes))], shape)
    if style == "led":  # player 0 alone moves the state
        following = np.broadcast_to(following[:, :, :1], shape) if len(sizes) == 2 else following
    if style in ("idle", "led"):  # rewards that a player's own action does not change, and others
        reward = np.stack([without(own, 1 + i) for i, own in enumerate(reward)])
    return {
        "transition": np.eye(n_states)[following],
        "reward": reward,
        "initial": np.eye(n_states)[0],
        "horizon": horizon,
        "discount": 1.0 if horizon else 0.5,
    }


@FAST
@given(tiny_games())
def test_answers_against_brute_force(arguments):
    found = find_potential(MarkovGame(**arguments))
    truth = has_potential(all_values(arguments))
    assert (found.status == "not potential") == (not truth), found
    if found:
        assert found.rows is not None
        # Its expected sum is the potential of the whole game: all players' gains are its.
        game = MarkovGame(**arguments)
        rows = found.rows.reshape(game.table.reward.shape[1:])
        shape = arguments["reward"].shape[1:]
        alone = arguments | {"reward": np.stack([rows.reshape(shape)] * len(arguments["reward"]))}
        potential, values = all_values(alone)[0], all_values(arguments)
        for i in range(game.n_players):
            np.testing.assert_allclose(
                np.diff(values[i], axis=i), np.diff(potential, axis=i), atol=1e-9
            )


def test_brute_force_meets_all_answers():
    """The games above are not all of one sort."""
    seen = {find_potential(hidden_game()).status}

    @settings(deadline=None, max_examples=100, derandomize=True, database=None)
    @given(tiny_games())
    def look(arguments):
        seen.add(find_potential(MarkovGame(**arguments)).status)

    look()
    assert seen == {"potential", "not potential", "unknown"}


# --- given potentials


@pytest.mark.parametrize("n_actions", SIZES)
@pytest.mark.parametrize("kind", CLOCKS)
def test_given_potentials(kind, n_actions):
    arguments, potential = still_game(kind, n_actions, 4)
    game = MarkovGame(**arguments, potential=potential)
    assert game.kind == "potential"
    assert "potential" in repr(game)
    check_rows(game, game.potential)
    found = find_potential(game)
    np.testing.assert_array_equal(found.rows, game.potential)
    if kind == "steps":
        timed = MarkovGame(**arguments, potential=np.stack([potential + h for h in range(4)]))
        assert timed.potential.shape == (4 * game.table.n_rows,)


def test_a_given_potential_of_the_stages_alone():
    """Transitions depend on actions: it is taken, and not taken for one of the whole game."""
    arguments, potential = still_game("discounted", (2, 2), 1, masked=False)
    arguments["transition"] = random_game("discounted", (2, 2), 1)["transition"]
    game = MarkovGame(**arguments, potential=potential)
    assert game.kind == "potential"
    assert find_potential(game).status == "not potential"


def test_a_zero_sum_game_may_be_declared():
    one, other = np.array([[0.0], [1.0]]), np.array([[0.0, 2.0]])
    reward = np.stack([one - other, other - one])[:, None]
    game = MarkovGame(np.ones((1, 2, 2, 1)), reward, horizon=1, potential=(one + other)[None])
    assert game.kind == "potential"
    assert MarkovGame(np.ones((1, 2, 2, 1)), reward, horizon=1).kind == "zero-sum"


def test_potentials_that_disagree_name_the_state_and_the_joint_actions():
    arguments, potential = still_game("timed", (2, 3), 6, masked=False)
    potential[2, 3, 1, 1] += 1.0
    with pytest.raises(ValueError, match=SENTENCE) as error:
        MarkovGame(**arguments, potential=potential)
    assert re.search(
        r"player [01] changes by .*in step 2, state 3, from joint action \(\d, \d\) to \(\d, \d\)",
        str(error.value),
    )
    legal = [np.array([[True, False, True]]), np.array([[True, True]])]
    reward = np.zeros((2, 1, 3, 2))
    potential = np.zeros((1, 3, 2))
    potential[0, 1] = 9.0  # illegal
    common = {"transition": np.ones((1, 3, 2, 1)), "reward": reward, "horizon": 1, "legal": legal}
    assert MarkovGame(**common, potential=potential).kind == "potential"
    potential[0, 2] = 0.5
    with pytest.raises(ValueError, match=SENTENCE) as error:
        MarkovGame(**common, potential=potential)
    assert "0.5 where the reward of player 0 changes by 0" in str(error.value)
    assert "state 0, from joint action (0, 0) to (2, 0)" in str(error.value)


def test_bad_potentials():
    arguments, potential = still_game("ending", (2, 3), 6, masked=False)
    bad = potential.copy()
    bad[1, 1, 1] = np.nan
    for value, words in (
        (potential[0], "of shape"),
        (bad, "nan in state 1, joint action"),
        (potential + 1.0, "0 where the game has ended"),
        ("x", "an array of numbers"),
        (np.zeros((2, 4, 2, 3)), "of shape"),
    ):
        with pytest.raises((TypeError, ValueError), match=SENTENCE) as error:
            MarkovGame(**arguments, potential=value)
        assert words in str(error.value)
    game = MarkovGame(**arguments)
    with pytest.raises(ValueError, match="rows"):
        MarkovGame.from_table(game.table, potential=np.zeros(3))


def test_potentials_are_copied_and_frozen():
    arguments, potential = still_game("steps", (2, 2), 1, masked=False)
    game = MarkovGame(**arguments, potential=potential)
    before = game.potential.copy()
    potential += 1.0
    np.testing.assert_array_equal(game.potential, before)
    with pytest.raises(AttributeError):
        find_potential(game).status = "x"
    assert not Potential(status="unknown", reason="")
