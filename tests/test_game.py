"""MarkovGame at the door and in store, and its clock: inputs, refusals, round trips, nodes."""

import itertools
import pickle
import re
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from metamarl.envs import MarkovGame, from_rules, make
from metamarl.envs.clock import at_rest, ends_by_itself

FAST = settings(deadline=None, max_examples=60, derandomize=True)
SENTENCE = re.compile(
    r"The '([a-z]+)' parameter of MarkovGame must be [^\n]+\. Got [^\n]+ instead\."
)


def random_arrays(seed=0, n_states=2, n_actions=(2, 3), horizon=None, timed=""):
    """`transition` and `reward` as the constructor takes them; `timed` holds "P", "R" or both."""
    rng = np.random.default_rng(seed)
    shape = (n_states, *n_actions)
    steps_p, steps_r = ((horizon,) if letter in timed else () for letter in "PR")
    transition = rng.dirichlet(np.ones(n_states), size=(*steps_p, *shape))
    return transition, rng.normal(size=(len(n_actions), *steps_r, *shape))


def put(array, where, value):
    changed = np.array(array, dtype=float)
    changed[where] = value
    return changed


def table_of(game):
    names = ("counts", "rows", "reward", "indptr", "indices", "probabilities")
    strides = [game.table.reward_stride, game.table.transition_stride]
    return [np.array(getattr(game.table, name)) for name in names] + [np.array(strides)]


def assert_same(one, other):
    assert (one.horizon, one.discount, one.kind) == (other.horizon, other.discount, other.kind)
    assert (one.n_players, one.n_states, one.n_actions) == (
        other.n_players,
        other.n_states,
        other.n_actions,
    )
    np.testing.assert_array_equal(one.initial, other.initial)
    for mine, theirs in zip(table_of(one), table_of(other), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-14)
    for mine, theirs in zip(one.legal, other.legal, strict=True):
        np.testing.assert_array_equal(mine, theirs)


# --- refusals: one sentence that names the parameter, and the state and action where it applies

P, R = random_arrays()
PT, RT = random_arrays(horizon=4, timed="PR")
LEGAL = [np.ones((2, 2), bool), np.ones((2, 3), bool)]
NO_STATE, NO_ACTION = np.zeros((0, 2, 3, 0)), np.zeros((2, 0, 3, 2))

REFUSED = [
    # (what, changed arguments, parameter, words of the message)
    ("sum below 1", {"transition": put(P, (1, 0, 2), [0.5, 0.4])}, "transition",
     ["sum to 1", "0.9", "state 1, joint action (0, 2)"]),
    ("sum above 1", {"transition": put(P, (0, 1, 1), [0.5, 0.6])}, "transition",
     ["sum to 1", "1.1", "state 0, joint action (1, 1)"]),
    ("empty row", {"transition": put(P, (0, 1, 1), 0.0)}, "transition",
     ["sums to 0", "state 0, joint action (1, 1)"]),
    ("negative probability", {"transition": put(P, (1, 1, 0), [1.2, -0.2])}, "transition",
     ["between 0 and 1", "state 1, joint action (1, 0)"]),
    ("last row negative", {"transition": put(P, (1, 1, 2), [-0.5, 1.5])}, "transition",
     ["-0.5", "state 1, joint action (1, 2)"]),
    ("NaN probability", {"transition": put(P, (0, 0, 1), [np.nan, 1.0])}, "transition",
     ["nan", "state 0, joint action (0, 1)"]),
    ("infinite probability", {"transition": put(P, (0, 0, 1), [np.inf, 0.0])}, "transition",
     ["inf", "state 0, joint action (0, 1)"]),
    ("infinities that cancel", {"transition": put(P, (0, 0, 1), [np.inf, -np.inf])}, "transition",
     ["inf", "state 0, joint action (0, 1)"]),
    ("bad sum at a step", {"transition": put(PT, (3, 1, 0, 2), [0.5, 0.4]), "horizon": 4},
     "transition", ["step 3, state 1, joint action (0, 2)"]),
    ("NaN reward", {"reward": put(R, (1, 0, 1, 2), np.nan)}, "reward",
     ["nan", "player 1", "state 0, joint action (1, 2)"]),
    ("a reward beyond sums", {"reward": put(R, (0, 1, 0, 0), 1e151)}, "reward",
     ["at most 1e150", "1e+151", "player 0", "state 1, joint action (0, 0)"]),
    ("a loss beyond sums", {"reward": put(R, (0, 1, 0, 0), -1e308)}, "reward", ["at most 1e150"]),
    ("a potential beyond sums", {"potential": np.full((2, 2, 3), 1e308)}, "potential",
     ["at most 1e150"]),
    ("infinite reward", {"reward": put(R, (0, 1, 0, 0), -np.inf)}, "reward",
     ["-inf", "player 0", "state 1, joint action (0, 0)"]),
    ("NaN reward at a step", {"reward": put(RT, (1, 2, 1, 0, 2), np.nan), "horizon": 4}, "reward",
     ["player 1 in step 2, state 1, joint action (0, 2)"]),
    ("NaN where it is legal", {
        "reward": put(R, (1, 1, 1, 2), np.nan), "legal": [LEGAL[0], put(LEGAL[1], (1, 0), 0) > 0],
    }, "reward", ["player 1 in state 1, joint action (1, 2)"]),
    ("a number as transition", {"transition": 1.0}, "transition", ["shape ()"]),
    ("a flat transition", {"transition": [1.0, 0.0]}, "transition", ["shape (2,)"]),
    ("no last axis", {"transition": P[..., 0]}, "reward", ["S = 3 states", "(2, 2, 2, 3)"]),
    ("more next states", {"transition": np.ones((2, 2, 3, 5)) / 5}, "reward", ["S = 5 states"]),
    ("more states", {"transition": np.ones((4, 2, 3, 2)) / 2}, "transition",
     ["(2, 2, 3, 2)", "(4, 2, 3, 2)"]),
    ("more actions", {"transition": np.ones((2, 2, 4, 2)) / 2}, "transition", ["(2, 2, 4, 2)"]),
    ("players in another order", {"transition": np.ones((2, 3, 2, 2)) / 2}, "transition",
     ["(2, 3, 2, 2)"]),
    ("one axis too many", {"transition": P[..., None, :]}, "transition", ["(2, 2, 3, 1, 2)"]),
    ("too few steps", {"transition": PT[:3], "horizon": 4}, "transition",
     ["(4, 2, 2, 3, 2)", "(3, 2, 2, 3, 2)"]),
    ("steps, other states", {"transition": np.ones((4, 3, 2, 3, 2)) / 2, "horizon": 4},
     "transition", ["(4, 3, 2, 3, 2)"]),
    ("steps without a horizon", {"transition": PT, "horizon": None, "discount": 0.9},
     "transition", ["(4, 2, 2, 3, 2)"]),
    ("a sparse matrix too short", {"transition": sp.csr_array(P.reshape(12, 2)[:11])},
     "transition", ["(12, 2)", "(11, 2)"]),
    ("a sparse matrix too wide", {"transition": sp.csr_array(np.eye(12))}, "reward",
     ["S = 12 states"]),
    ("a sparse matrix of steps", {"transition": sp.csr_array(PT.reshape(48, 2)), "horizon": 4},
     "transition", ["(12, 2)", "(48, 2)"]),
    ("a number as reward", {"reward": 1.0}, "reward", ["shape ()"]),
    ("no axis of players", {"reward": R[0]}, "reward", ["shape (2, 2, 3)"]),
    ("too many players", {"reward": np.ones((3, 2, 2, 3))}, "reward", ["shape (3, 2, 2, 3)"]),
    ("reward of other states", {"reward": np.ones((2, 3, 2, 3))}, "reward", ["S = 2 states"]),
    ("reward of other actions", {"reward": np.ones((2, 2, 2, 4))}, "transition", ["(2, 2, 2, 4)"]),
    ("reward of other steps", {"reward": RT[:, :3], "horizon": 4}, "reward",
     ["(n, 4, S, A_1, …, A_n)", "(2, 3, 2, 2, 3)"]),
    ("reward of steps, no horizon", {"reward": RT, "horizon": None, "discount": 0.9}, "reward",
     ["(2, 4, 2, 2, 3)"]),
    ("no player", {"reward": np.zeros((0, 2))}, "reward", ["at least one player", "(0, 2)"]),
    ("no state", {"transition": NO_STATE, "reward": np.zeros((2, 0, 2, 3))}, "reward",
     ["at least one player, state and action"]),
    ("no action", {"transition": np.zeros((2, 0, 3, 2)), "reward": np.zeros((2, 2, 0, 3))},
     "reward", ["at least one player, state and action"]),
    ("negative discount", {"discount": -0.1}, "discount", ["between 0 and 1", "-0.1"]),
    ("discount above 1", {"discount": 1.01}, "discount", ["1.01"]),
    ("discount NaN", {"discount": float("nan")}, "discount", ["nan"]),
    ("discount infinite", {"discount": float("inf")}, "discount", ["inf"]),
    ("discount beyond floats", {"discount": 10**400}, "discount", ["between 0 and 1"]),
    ("horizon 0", {"horizon": 0}, "horizon", ["at least 1", "0"]),
    ("negative horizon", {"horizon": -3}, "horizon", ["at least 1", "-3"]),
    ("an empty legal set", {"legal": [LEGAL[0], put(LEGAL[1], 1, 0) > 0]}, "legal",
     ["player 1 in state 1"]),
    ("nothing legal", {"legal": [~LEGAL[0], LEGAL[1]]}, "legal", ["player 0 in state 0"]),
    ("legal numbers", {"legal": [LEGAL[0].astype(int), LEGAL[1]]}, "legal", ["boolean", "int64"]),
    ("legal of another shape", {"legal": [LEGAL[0], LEGAL[1][:, :2]]}, "legal",
     ["(2, 3)", "(2, 2)"]),
    ("legal without states", {"legal": [LEGAL[0][0], LEGAL[1]]}, "legal", ["(2,)"]),
    ("legal of one player", {"legal": LEGAL[:1]}, "legal", ["[(2, 2), (2, 3)]"]),
    ("legal of three players", {"legal": [*LEGAL, LEGAL[0]]}, "legal", ["[(2, 2), (2, 3)]"]),
    ("initial too long", {"initial": [0.5, 0.5, 0.0]}, "initial", ["2 states", "(3,)"]),
    ("initial a number", {"initial": 1.0}, "initial", ["2 states", "()"]),
    ("initial negative", {"initial": [1.5, -0.5]}, "initial", ["distribution", "-0.5"]),
    ("initial below 1", {"initial": [0.5, 0.4]}, "initial", ["distribution", "[0.5, 0.4]"]),
    ("initial zero", {"initial": [0, 0]}, "initial", ["distribution"]),
    ("initial NaN", {"initial": [np.nan, 1.0]}, "initial", ["distribution", "nan"]),
    ("initial infinite", {"initial": [np.inf, 0.0]}, "initial", ["distribution", "inf"]),
    ("too few names of states", {"states": ["a"]}, "states", ["2 states", "1 names"]),
    ("too many names of states", {"states": "abc"}, "states", ["2 states", "3 names"]),
    ("names of actions of one player", {"actions": [["l", "r"]]}, "actions", ["[2, 3]", "[2]"]),
    ("too few names of actions", {"actions": ["lr", "lr"]}, "actions", ["[2, 3]", "[2, 2]"]),
]  # fmt: skip

WRONG_TYPES = [
    ("nothing as transition", {"transition": None}, "transition"),
    ("words as transition", {"transition": [["a", "b"]]}, "transition"),
    ("digits in words", {"transition": P.astype(str)}, "transition"),
    ("ragged transition", {"transition": [[0.5, 0.5], [1.0]]}, "transition"),
    ("complex transition", {"transition": P + 0j}, "transition"),
    ("complex sparse transition", {"transition": sp.csr_array(P.reshape(12, 2) + 0j)},
     "transition"),
    ("dates as transition", {"transition": P.astype("datetime64[s]")}, "transition"),
    ("words as reward", {"reward": "win"}, "reward"),
    ("numbers and words as reward", {"reward": [[1.0, "a"]]}, "reward"),
    ("ragged reward", {"reward": [[[1, 2], [3]]]}, "reward"),
    ("no reward", {"reward": None}, "reward"),
    ("complex reward", {"reward": R * 1j}, "reward"),
    ("a dictionary as reward", {"reward": {0: 1.0}}, "reward"),
    ("boolean discount", {"discount": True}, "discount"),
    ("no discount", {"discount": None}, "discount"),
    ("discount in words", {"discount": "0.9"}, "discount"),
    ("float horizon", {"horizon": 3.0}, "horizon"),
    ("boolean horizon", {"horizon": True}, "horizon"),
    ("horizon in words", {"horizon": "3"}, "horizon"),
    ("ragged legal", {"legal": [[[True, True], [True]], LEGAL[1]]}, "legal"),
    ("legal without players", {"legal": True}, "legal"),
    ("initial in words", {"initial": ["a", "b"]}, "initial"),
    ("ragged initial", {"initial": [[0.5], 0.5]}, "initial"),
    ("states in numbers", {"states": 5}, "states"),
    ("states without order", {"states": {"a", "b"}}, "states"),
    ("lists as states", {"states": [[1], [2]]}, "states"),
    ("arrays as states", {"states": np.ones((2, 2))}, "states"),
    ("a number of actions", {"actions": 3}, "actions"),
    ("numbers of actions", {"actions": [2, 3]}, "actions"),
    ("a number as name", {"name": 5}, "name"),
    ("no name", {"name": None}, "name"),
    ("a board that does not draw", {"board": 5}, "board"),
]  # fmt: skip


def refused(error, changes, parameter):
    with pytest.raises(error) as caught:
        MarkovGame(**{"transition": P, "reward": R, "horizon": 3, **changes})
    message = str(caught.value)
    found = SENTENCE.fullmatch(message)
    assert found, message
    assert found[1] == parameter, message
    assert len(message) < 500
    return message


@pytest.mark.parametrize(
    ("changes", "parameter", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_bad_values_get_one_sentence(changes, parameter, words):
    message = refused(ValueError, changes, parameter)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("changes", "parameter"), [row[1:] for row in WRONG_TYPES], ids=[row[0] for row in WRONG_TYPES]
)
def test_wrong_types_get_one_sentence(changes, parameter):
    refused(TypeError, changes, parameter)


@pytest.mark.parametrize("horizon", [10**12, 10**30, 10**400])
def test_a_horizon_beyond_memory_is_refused_before_any_work(horizon):
    with pytest.raises(ValueError, match=r"^A game with horizon \d+ needs about .* GiB of memory"):
        MarkovGame(P, R, horizon=horizon)
    swap = np.array([[[0.0, 1.0]], [[1.0, 0.0]]])  # other states at every step
    with pytest.raises(ValueError, match="GiB"):
        MarkovGame(swap, np.ones((1, 2, 1)), initial=[1, 0], horizon=horizon)


def test_a_table_of_steps_needs_its_own_horizon():
    table = MarkovGame(PT, R, horizon=4).table
    assert MarkovGame.from_table(table, horizon=4).horizon == 4
    for horizon in (3, 5):
        with pytest.raises(ValueError, match=r"'horizon' .* must be 4, .* Got \d instead"):
            MarkovGame.from_table(table, horizon=horizon)
    with pytest.raises(ValueError, match=r"'horizon' .* must be 4, .* Got None instead"):
        MarkovGame.from_table(table, discount=0.9)


def test_dense_is_refused_where_it_would_not_fit():
    game = from_rules(
        {"go": 1.0},
        legal=lambda _: [[0], [0]],
        step=lambda *_: [(1.0, "end", (0.0, 0.0))],
        n_actions=(10**6, 10**6),
    )
    message = r"^The dense game needs about .* GiB of memory, .* Make the game smaller\.$"
    with pytest.raises(ValueError, match=message):
        game.dense()


# --- the clock: a game without horizon or discount must end by itself


def chain(rows, reward=None):
    """One player; `rows[s][a]` is a distribution over the next states."""
    transition = np.array(rows, dtype=float)
    if reward is None:
        reward = np.zeros(transition.shape[:2])
    return {"transition": transition, "reward": np.array(reward, dtype=float)[None]}


END = [[0, 0, 1]] * 2
ENDLESS = {
    "a loop that pays": chain(
        [[[1, 0, 0]] * 2, [[0, 0, 1]] * 2, END], [[1, 1], [0, 0], [0, 0]]
    ),
    "a loop that can be avoided": chain([[[1, 0, 0], [0, 0, 1]], [[0, 0, 1]] * 2, END]),
    "a cycle of two that can be avoided": chain(
        [[[0, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 0, 1]], END]
    ),
    "a set that chance never leaves": chain(
        [[[0.5, 0.5, 0], [0, 0, 1]], [[0.5, 0.5, 0], [0.5, 0, 0.5]], END]
    ),
    "rewards at the end": chain(
        [[[0, 1, 0]] * 2, [[0, 0, 1]] * 2, END], [[0, 0], [0, 0], [0, 1]]
    ),
    "no rest, though nothing is ever paid": chain(
        [[[0, 1, 0]] * 2, [[0, 0, 1]] * 2, [[1, 0, 0]] * 2]
    ),
}  # fmt: skip


@pytest.mark.parametrize("arrays", ENDLESS.values(), ids=ENDLESS)
def test_a_game_that_need_not_end_needs_a_clock(arrays):
    with pytest.raises(ValueError, match=SENTENCE) as caught:
        MarkovGame(**arrays)
    assert "'horizon'" in str(caught.value)
    assert "end by itself" in str(caught.value)
    assert MarkovGame(**arrays, discount=0.9).nodes.cyclic
    assert not MarkovGame(**arrays, horizon=3).nodes.cyclic


def test_one_player_of_two_may_prolong_the_game():
    transition = np.zeros((2, 2, 2, 2))
    transition[0, :, :, 1] = transition[1, :, :, 1] = 1.0
    MarkovGame(transition, np.zeros((2, 2, 2, 2)))
    transition[0, 1, 0] = [1.0, 0.0]  # both together stay
    with pytest.raises(ValueError, match="end by itself"):
        MarkovGame(transition, np.zeros((2, 2, 2, 2)))
    stay_is_illegal = [np.array([[True, False], [True, True]]), np.ones((2, 2), bool)]
    assert MarkovGame(transition, np.zeros((2, 2, 2, 2)), legal=stay_is_illegal).horizon is None


def test_a_cycle_that_is_surely_left_ends():
    arrays = chain(
        [[[0.9, 0.1, 0], [0, 1, 0]], [[0.5, 0, 0.5], [0, 0.999, 0.001]], END],
        [[1, 2], [3, 4], [0, 0]],
    )  # fmt: skip
    game = MarkovGame(**arrays)
    assert game.nodes.cyclic
    assert game.horizon is None
    assert "ends by itself" in repr(game)


def test_an_acyclic_game_has_levels():
    game = MarkovGame(**chain([[[0, 1, 0]] * 2, [[0, 0, 1]] * 2, END], [[1, 2], [3, 4], [0, 0]]))
    assert not game.nodes.cyclic
    assert not game.nodes.timed
    assert game.nodes.states.tolist() == [0, 1, 2]
    assert game.nodes.groups.tolist() == [0, 1, 2, 3]


def test_a_long_way_to_the_end_is_checked_in_linear_time():
    n = 3000
    following = np.minimum(np.arange(n) + 1, n - 1)
    transition = sp.csr_array((np.ones(n), (np.arange(n), following)), shape=(n, n))
    assert MarkovGame(transition, np.zeros((1, n, 1))).nodes.n_groups == n


@st.composite
def supports(draw, most_states=4):
    """A small game whose rows and legal sets are drawn freely: arguments of MarkovGame."""
    n_states = draw(st.integers(1, most_states))
    n_actions = tuple(draw(st.lists(st.integers(1, 2), min_size=1, max_size=2)))
    shape = (n_states, *n_actions)
    targets = st.sets(st.integers(0, n_states - 1), min_size=1, max_size=2)
    transition = np.zeros((*shape, n_states))
    reward = np.zeros((len(n_actions), *shape))
    for where in np.ndindex(*shape):
        last = n_states - 1  # more often than not an end
        following = draw(targets) if where[0] < last or draw(st.booleans()) else {last}
        transition[where][list(following)] = 1.0 / len(following)
        if where[0] < last:
            reward[(0, *where)] = draw(st.sampled_from([0.0, 0.0, 1.0]))
    legal = [np.ones((n_states, k), bool) for k in n_actions]
    for mask in legal:
        for state in range(n_states):
            mask[state, draw(st.integers(0, mask.shape[1] - 1))] = draw(st.booleans())
            mask[state, 0] |= not mask[state].any()
    return {"transition": transition, "reward": reward, "legal": legal}


def joint_actions(legal, state):
    return list(itertools.product(*(np.flatnonzero(mask[state]) for mask in legal)))


def brute_rest(transition, reward, legal):
    return [
        all(
            transition[(s, *a, s)] == 1 and not reward[(slice(None), s, *a)].any()
            for a in joint_actions(legal, s)
        )
        for s in range(len(transition))
    ]


def closure(links):
    reach = links.copy()
    for _ in links:
        reach |= (reach.astype(int) @ reach.astype(int)) > 0
    return reach


def brute_ends(transition, reward, legal):
    """Every pure stationary way to play reaches rest from everywhere."""
    rest = np.array(brute_rest(transition, reward, legal))
    everywhere = [joint_actions(legal, s) for s in range(len(transition))]
    for joint in itertools.product(*everywhere):
        links = np.array([transition[(s, *a)] > 0 for s, a in enumerate(joint)])
        if not (rest | closure(links)[:, rest].any(1)).all():
            return False
    return True


@FAST
@given(supports())
def test_ends_by_itself_against_all_ways_to_play(arrays):
    table = MarkovGame(**arrays, horizon=1).table
    assert at_rest(table).tolist() == brute_rest(**arrays)
    assert ends_by_itself(table) == brute_ends(**arrays)


@FAST
@given(supports(most_states=5))
def test_levels_against_paths(arrays):
    nodes = MarkovGame(**arrays, discount=0.5).nodes
    transition, legal = arrays["transition"], arrays["legal"]
    rest = brute_rest(**arrays)
    links = np.zeros((len(rest),) * 2, bool)
    for s in range(len(rest)):
        for a in joint_actions(legal, s):
            links[s] |= transition[(s, *a)] > 0
        if rest[s]:
            links[s] = False
    assert nodes.cyclic == closure(links).diagonal().any()
    assert sorted(nodes.states) == list(range(len(rest)))
    if nodes.cyclic:
        assert nodes.n_groups == 1
        assert nodes.states.tolist() == list(range(len(rest)))
        return
    group = np.empty(len(rest), int)
    group[nodes.states] = np.repeat(np.arange(nodes.n_groups), np.diff(nodes.groups))
    for s, t in np.argwhere(links):
        assert group[t] > group[s]
    for s in range(len(rest)):  # the group is the longest way to the end
        following = group[links[s]]
        assert group[s] == (following.min() - 1 if following.size else nodes.n_groups - 1)


@FAST
@given(supports(), st.integers(1, 5), st.data())
def test_reachable_nodes_against_enumeration(arrays, horizon, data):
    legal = arrays["legal"]
    n_states = len(legal[0])
    timed = data.draw(st.booleans())
    if timed:  # another map at every step
        order = data.draw(
            st.lists(st.permutations(range(n_states)), min_size=horizon, max_size=horizon)
        )
        arrays["transition"] = np.stack([arrays["transition"][..., list(o)] for o in order])
    first = data.draw(st.sets(st.integers(0, n_states - 1), min_size=1))
    initial = [(s in first) / len(first) for s in range(n_states)]
    nodes = MarkovGame(**arrays, horizon=horizon, initial=initial).nodes
    assert nodes.n_groups == horizon
    layer = first
    for step in range(horizon):
        here = nodes.states[nodes.groups[step] : nodes.groups[step + 1]]
        assert here.tolist() == sorted(layer)
        map_ = arrays["transition"][step] if timed else arrays["transition"]
        layer = {
            t for s in layer for a in joint_actions(legal, s) for t in np.flatnonzero(map_[(s, *a)])
        }
    assert nodes.steps.tolist() == sorted(nodes.steps)
    for i, mask in enumerate(legal):  # slots: one place for every legal action at every node
        assert np.diff(nodes.slots[i]).tolist() == mask.sum(1)[nodes.states].tolist()
    assert nodes.slots[0, 0] == 0
    assert (nodes.slots[1:, 0] == nodes.slots[:-1, -1]).all()


# --- in store


def test_what_is_said_of_illegal_actions_is_ignored():
    legal = [
        np.array([[True, False], [True, True]]),
        np.array([[True, True, True], [False, True, True]]),
    ]
    illegal = np.ones((2, 2, 3), bool)
    illegal[np.ix_([0], [0], [0, 1, 2])] = illegal[np.ix_([1], [0, 1], [1, 2])] = False
    clean = MarkovGame(P, R, horizon=3, legal=legal)
    for junk in (np.nan, np.inf, -7.0):
        bad_p, bad_r = P.copy(), R.copy()
        bad_p[illegal] = junk
        bad_r[:, illegal] = junk
        assert_same(MarkovGame(bad_p, bad_r, horizon=3, legal=legal), clean)
        matrix = sp.csr_array(bad_p.reshape(12, 2))
        assert_same(MarkovGame(matrix, bad_r, horizon=3, legal=legal), clean)
    transition, reward = clean.dense()
    assert not transition[illegal].any()
    assert not reward[:, illegal].any()


@pytest.mark.parametrize("timed", ["", "P", "R", "PR"])
def test_arrays_are_neither_modified_nor_kept(timed):
    transition, reward = random_arrays(horizon=3, timed=timed)
    transition *= 1 + 1e-8  # would be normalised
    legal, initial = [mask.copy() for mask in LEGAL], np.array([0.25, 0.75])
    given_arrays = [transition, reward, initial, *legal]
    before = [array.copy() for array in given_arrays]
    game = MarkovGame(transition, reward, initial, 3, 0.9, legal)
    for array, copy in zip(given_arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    kept = [*table_of(game), game.initial.copy(), *(mask.copy() for mask in game.legal)]
    for array in given_arrays:
        array[...] = 0
    now = [*table_of(game), game.initial, *game.legal]
    for array, copy in zip(now, kept, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(
    "kind", [sp.csr_array, sp.csc_array, sp.coo_array, sp.csr_matrix, sp.lil_array, sp.dok_array]
)
@pytest.mark.parametrize("legal", [None, [np.array([[True, False], [True, True]]), LEGAL[1]]])
def test_sparse_is_dense(kind, legal):
    transition = put(P, (0, 0, 1), [1.0, 0.0])
    matrix = kind(transition.reshape(12, 2))
    before = matrix.toarray()
    game = MarkovGame(matrix, R, horizon=3, legal=legal)
    assert_same(game, MarkovGame(transition, R, horizon=3, legal=legal))
    np.testing.assert_array_equal(matrix.toarray(), before)


def test_a_sparse_matrix_with_duplicates_out_of_order_is_left_alone():
    pointer = np.array([0, 4, 5])
    columns, numbers = np.array([1, 0, 1, 0, 1]), np.array([0.25, 0.5, 0.25, 0.0, 1.0])
    matrix = sp.csr_array((numbers, columns, pointer), shape=(2, 2))
    game = MarkovGame(matrix, np.zeros((1, 2, 1)), horizon=2)
    np.testing.assert_array_equal(game.dense()[0], [[[0.5, 0.5]], [[0.0, 1.0]]])
    assert matrix.nnz == 5
    assert matrix.indices.tolist() == [1, 0, 1, 0, 1]
    assert matrix.data.tolist() == [0.25, 0.5, 0.25, 0.0, 1.0]
    matrix.data[:] = 9.0
    np.testing.assert_array_equal(game.dense()[0], [[[0.5, 0.5]], [[0.0, 1.0]]])


def test_numbers_of_other_types():
    moves = np.zeros((2, 2, 3, 2), int)
    moves[..., 1] = 1
    pay = np.arange(24).reshape(2, 2, 2, 3)
    exact = MarkovGame(moves.astype(float), pay.astype(float), horizon=2)
    for kind in (int, np.int32, np.uint8, np.float32, bool):
        wages = pay if kind is bool else pay.astype(kind)
        assert_same(MarkovGame(moves.astype(kind), wages, horizon=np.int64(2)), exact)
    assert_same(MarkovGame(moves.tolist(), pay.tolist(), horizon=2), exact)
    assert_same(MarkovGame(sp.csr_array(moves.reshape(12, 2)), pay, horizon=2), exact)
    thirds = np.array([[[Fraction(1, 3), Fraction(2, 3)]]] * 2)
    game = MarkovGame(thirds, np.zeros((1, 2, 1)), discount=Fraction(1, 2))
    np.testing.assert_allclose(game.dense()[0][0, 0], [1 / 3, 2 / 3], rtol=1e-15)
    single = MarkovGame(P.astype(np.float32), R.astype(np.float32), horizon=2)
    assert single.table.probabilities.dtype == np.float64
    np.testing.assert_allclose(single.table.successors().sum(axis=1), 1.0, rtol=1e-15)


def test_rows_are_normalised():
    game = MarkovGame(P * (1 + 5e-7), R, np.array([0.5, 0.5]) * (1 - 5e-7), horizon=2)
    np.testing.assert_allclose(game.table.successors().sum(axis=1), 1.0, rtol=1e-15)
    np.testing.assert_allclose(game.initial, 0.5, rtol=1e-15)
    np.testing.assert_array_equal(MarkovGame(P, R, horizon=2).initial, [0.5, 0.5])


@pytest.mark.parametrize(
    ("n_states", "n_actions"),
    [
        (1, (1,)),
        (1, (1, 1)),
        (3, (1,)),
        (1, (100, 100)),
        (2, (100, 1)),
        (3, (1, 2, 3, 2)),
        (5, (4,)),
    ],
)
@pytest.mark.parametrize(
    "clock", [{"horizon": 2}, {"discount": 0.9}, {"horizon": 1, "discount": 0}]
)
def test_sizes(n_states, n_actions, clock):
    transition, reward = random_arrays(0, n_states, n_actions)
    game = MarkovGame(transition, reward, **clock)
    assert (game.n_players, game.n_states, game.n_actions) == (
        len(n_actions),
        n_states,
        n_actions,
    )
    assert game.horizon == clock.get("horizon")
    assert game.discount == clock.get("discount", 1.0)
    assert game.table.n_rows == n_states * np.prod(n_actions)
    assert game.table.n_bytes > 0
    again_p, again_r = game.dense()
    np.testing.assert_allclose(again_p, transition, rtol=1e-12)
    np.testing.assert_array_equal(again_r, reward)


def test_only_legal_rows_are_stored():
    legal = [np.array([[True, False], [True, True]]), np.array([[False, False, True], [True] * 3])]
    game = MarkovGame(P, R, horizon=3, legal=legal)
    assert game.table.n_rows == 1 * 1 + 2 * 3
    assert game.table.counts.tolist() == [[1, 1], [2, 3]]
    np.testing.assert_array_equal(game.table.reward[:, 0], R[:, 0, 0, 2])
    np.testing.assert_array_equal(game.table.reward[:, 1:], R[:, 1].reshape(2, 6))
    assert all(mask.dtype == bool for mask in game.legal)


@pytest.mark.parametrize("timed", ["", "P", "R", "PR"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("horizon", [1, 3])
def test_dense_round_trip(timed, masked, horizon):
    transition, reward = random_arrays(1, 3, (2, 3), horizon, timed)
    transition[..., 0, 0, :] = [0.0, 1.0, 0.0]
    legal = [
        np.array([[1, 0], [1, 1], [0, 1]]) > 0,
        np.array([[1, 1, 0], [0, 1, 0], [1, 1, 1]]) > 0,
    ]
    legal = legal if masked else None
    game = MarkovGame(transition, reward, [0.0, 0.5, 0.5], horizon, 0.9, legal)
    assert (game.table.transition_stride > 0, game.table.reward_stride > 0) == (
        "P" in timed,
        "R" in timed,
    )
    again_p, again_r = game.dense()
    again = MarkovGame(again_p, again_r, game.initial, horizon, 0.9, game.legal)
    if horizon > 1:
        assert again_p.shape == transition.shape
        assert again_r.shape == reward.shape
        assert_same(again, game)
    if masked:
        keep = legal[0][:, :, None] & legal[1][:, None, :]
        transition, reward = transition * keep[..., None], reward * keep
    np.testing.assert_allclose(again_p.reshape(transition.shape), transition, rtol=1e-12)
    np.testing.assert_array_equal(again_r.reshape(reward.shape), reward)


def test_kind():
    zero_sum = np.stack([R[0], -R[0]])
    assert MarkovGame(P, zero_sum, horizon=2).kind == "zero-sum"
    assert MarkovGame(P, R, horizon=2).kind == "general-sum"
    assert MarkovGame(P, np.stack([R[0], R[0]]), horizon=2).kind == "potential"
    assert MarkovGame(*random_arrays(0, 2, (3,)), horizon=2).kind == "potential"
    one_third = np.stack([R[0] / 3 * 3, -R[0]])  # apart by rounding
    assert MarkovGame(P, one_third, horizon=2).kind == "zero-sum"
    assert MarkovGame(P, put(zero_sum, (0, 1, 1, 2), 5.0), horizon=2).kind == "general-sum"
    for unit in (1e-300, 1e-13, 1e13, 1e149):  # whatever rewards are measured in
        assert MarkovGame(P, unit * R, horizon=2).kind == "general-sum"
        assert MarkovGame(P, unit * zero_sum, horizon=2).kind == "zero-sum"
    assert MarkovGame(P, 0 * R, horizon=2).kind == "zero-sum"
    transition, reward = random_arrays(0, 2, (2, 2, 2))
    assert MarkovGame(transition, reward - reward.mean(0), horizon=2).kind == "general-sum"
    ignored = put(zero_sum, (slice(None), 0, 1, 0), 5.0)
    legal = [np.array([[True, False], [True, True]]), LEGAL[1]]
    assert MarkovGame(P, ignored, horizon=2, legal=legal).kind == "zero-sum"


def test_repr():
    game = MarkovGame(P, R, horizon=2, discount=0.5, name="coins")
    assert repr(game) == (
        "MarkovGame('coins', general-sum, n_players=2, n_states=2, n_actions=(2, 3), "
        "horizon=2, discount=0.5)"
    )
    assert "discount=0.9)" in repr(MarkovGame(P, R, discount=0.9))
    assert "horizon=2)" in repr(MarkovGame(P, R, horizon=2))


def test_names():
    names = {"states": ["s", "t"], "actions": [["up", "down"], ["l", "m", "r"]]}
    game = MarkovGame(P, R, horizon=2, name="coins", **names)
    assert game.name == "coins"
    assert list(game.states) == names["states"]
    assert [list(actions) for actions in game.actions] == names["actions"]


@pytest.mark.parametrize("name", ["rps", "soccer", "tictactoe"])
def test_benchmark_games_can_be_pickled(name):
    game = make(name)
    assert_same(pickle.loads(pickle.dumps(game)), game)


@pytest.mark.parametrize("clock", [{"horizon": 3}, {"discount": 0.9}])
def test_pickling(clock):
    game = MarkovGame(P, R, [0.25, 0.75], **clock, states=["a", "b"], name="coins")
    again = pickle.loads(pickle.dumps(game))
    assert_same(again, game)
    assert (again.name, again.states) == ("coins", ["a", "b"])
    np.testing.assert_array_equal(again.nodes.states, game.nodes.states)
    np.testing.assert_array_equal(again.nodes.slots, game.nodes.slots)
