"""Values, best responses, gaps and policies against plain NumPy on dense arrays, and their laws."""

import itertools
import math
import re
import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metamarl.algorithms.correlated import CorrelatedPolicy
from metamarl.algorithms.evaluation import (
    best_response,
    cce_gap,
    ce_gap,
    effective_horizon,
    evaluate,
    nash_gap,
)
from metamarl.algorithms.evaluator import Evaluator, expected_duration
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solve import solve
from metamarl.envs import MarkovGame, make

FAST = settings(deadline=None, max_examples=60, derandomize=True)
SIZES = [(1,), (3,), (2, 3), (3, 1), (1, 1), (2, 1, 3)]
CLOCKS = [
    "steps",
    "timed",
    "timed-discounted",
    "discounted",
    "ending",
    "ending-discounted",
    "acyclic",
]


def clock_of(kind):
    """Horizon and discount of a game of this kind."""
    horizon = 4 if kind in ("steps", "timed", "timed-discounted") else None
    return horizon, 0.8 if "discounted" in kind else 1.0


def random_game(kind, n_actions, seed=0, n_states=4, zero_sum=False, masked=True):
    """Arguments of a random MarkovGame; in games that end by themselves the last state is the end.

    "timed": rewards and transitions depend on the step; "ending": cycles, left with a probability
    of at least 1/8 at every move; "acyclic": states lead to later ones only.
    """
    rng = np.random.default_rng(seed)
    shape = (n_states, *n_actions)
    horizon, discount = clock_of(kind)
    steps = (horizon,) if kind.startswith("timed") else ()
    transition = rng.dirichlet(np.full(n_states, 0.5), size=(*steps, *shape))
    transition[transition < 0.1] = 0.0
    transition /= transition.sum(-1, keepdims=True)
    reward = rng.normal(size=(len(n_actions), *steps, *shape))
    if kind.startswith("ending"):
        transition *= 0.875
        transition[..., -1] += 0.125
    if kind == "acyclic":
        transition += 1e-3
        for s in range(n_states):
            transition[s, ..., : s + 1] = 0.0
        transition[-1, ..., -1] = 1.0
        transition /= transition.sum(-1, keepdims=True)
    if kind.startswith("ending") or kind == "acyclic":
        transition[-1] = np.eye(n_states)[-1]
        reward[:, -1] = 0.0
    if zero_sum:
        reward = np.stack([reward[0], -reward[0]])
    legal = [rng.random((n_states, k)) < (0.7 if masked else 2) for k in n_actions]
    for mask in legal:
        mask[np.arange(n_states), rng.integers(mask.shape[1], size=n_states)] = True
    initial = rng.dirichlet(np.ones(n_states))
    initial[0] = 0.0
    return {
        "transition": transition,
        "reward": reward,
        "initial": initial / initial.sum(),
        "horizon": horizon,
        "discount": discount,
        "legal": legal,
    }


def random_policy(arguments, seed=0, pure=False):
    """One array per player, `(H, S, A_i)` or `(S, A_i)`."""
    rng = np.random.default_rng(seed)
    steps = () if arguments["horizon"] is None else (arguments["horizon"],)
    arrays = []
    for mask in arguments["legal"]:
        weight = rng.exponential(size=(*steps, *mask.shape)) ** 3 * mask
        if pure:
            weight = (weight == weight.max(-1, keepdims=True)).astype(float)
        arrays.append(weight / weight.sum(-1, keepdims=True))
    return arrays


# --- the same in plain NumPy


def at_step(array, step, timed):
    return array[step] if timed else array


def folded(arguments, arrays, player, step, responding):
    """The reward `(S,)` and transition `(S, S)` under `arrays` at `step`; where `responding` the
    player's own action is left open: `(S, A_i)` and `(S, A_i, S)`.
    """
    transition, reward = arguments["transition"], arguments["reward"][player]
    n = len(arrays)
    transition = at_step(transition, step, transition.ndim == n + 3)
    reward = at_step(reward, step, reward.ndim == n + 2)
    letters = string.ascii_lowercase[:n]
    terms, inputs = [], []
    for i, array in enumerate(arrays):
        if not (responding and i == player):
            terms.append("s" + letters[i])
            inputs.append(at_step(array, step, array.ndim == 3))
    own = letters[player] if responding else ""
    head = ",".join([*terms, "s" + letters])
    pay = np.einsum(f"{head}->s{own}", *inputs, reward)
    move = np.einsum(f"{head}t->s{own}t", *inputs, transition)
    return pay, move


def solve_chain(pay, move, discount):
    """Values of a Markov chain; 0 where it rests."""
    moving = ~((move.diagonal() == 1.0) & (pay == 0.0))
    values = np.zeros(len(pay))
    matrix = np.eye(moving.sum()) - discount * move[np.ix_(moving, moving)]
    values[moving] = np.linalg.solve(matrix, pay[moving])
    return values


def plain_values(arguments, arrays, player, respond=False):
    """`(S,)` values at the first step: backward induction, or a linear solve."""
    horizon, discount = arguments["horizon"], arguments["discount"]
    mask = arguments["legal"][player]
    if horizon is not None:
        values = np.zeros(len(mask))
        for step in reversed(range(horizon)):
            pay, move = folded(arguments, arrays, player, step, respond)
            values = pay + discount * move @ values
            if respond:
                values = np.where(mask, values, -np.inf).max(1)
        return values
    pay, move = folded(arguments, arrays, player, 0, respond)
    if not respond:
        return solve_chain(pay, move, discount)
    every = np.arange(len(mask))
    plans = itertools.product(*(np.flatnonzero(row) for row in mask))
    return np.max(
        [solve_chain(pay[every, list(p)], move[every, list(p)], discount) for p in plans], axis=0
    )


def plain(arguments, arrays, player, respond=False):
    return arguments["initial"] @ plain_values(arguments, arrays, player, respond)


def close(one, other, tolerance=1e-10):
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("n_actions", SIZES)
@pytest.mark.parametrize("kind", CLOCKS)
@pytest.mark.parametrize("pure", [False, True])
def test_values_and_gaps_against_numpy(kind, n_actions, pure):
    for seed in range(3):
        arguments = random_game(kind, n_actions, seed)
        game, arrays = MarkovGame(**arguments), random_policy(arguments, seed, pure)
        policy, players = JointPolicy(arrays), range(len(n_actions))
        assert game.nodes.cyclic == (kind in ("discounted", "ending", "ending-discounted"))
        values = np.array([plain(arguments, arrays, i) for i in players])
        best = np.array([plain(arguments, arrays, i, respond=True) for i in players])
        close(evaluate(game, policy), values)
        close([best_response(game, policy, i)[0] for i in players], best)
        close(nash_gap(game, policy), max(0.0, (best - values).max()))


@pytest.mark.parametrize("kind", CLOCKS)
def test_zero_sum_games_against_numpy(kind):
    for seed in range(5):
        arguments = random_game(kind, (3, 2), seed, zero_sum=True)
        game, arrays = MarkovGame(**arguments), random_policy(arguments, seed)
        policy = JointPolicy(arrays)
        assert game.kind == "zero-sum"
        values = evaluate(game, policy)
        assert values[0] == -values[1]  # exactly
        close(values[0], plain(arguments, arrays, 0))
        upper, lower = (plain(arguments, arrays, i, respond=True) for i in (0, 1))
        close(nash_gap(game, policy), upper + lower)


@pytest.mark.parametrize("kind", CLOCKS)
@pytest.mark.parametrize("n_actions", [(3,), (2, 3), (2, 1, 3)])
def test_a_best_response_is_a_policy_that_earns_its_value(kind, n_actions):
    arguments = random_game(kind, n_actions, seed=5)
    game, arrays = MarkovGame(**arguments), random_policy(arguments, seed=6)
    policy = JointPolicy(arrays)
    for i in range(len(n_actions)):
        value, response = best_response(game, policy, i)
        assert isinstance(value, float)
        assert response.shape == arrays[i].shape
        assert not (response * ~arguments["legal"][i]).any()
        close(response.sum(-1), 1.0)
        answer = [response if k == i else array for k, array in enumerate(arrays)]
        close(evaluate(game, JointPolicy(answer))[i], value)
        assert np.isin(response, [0.0, 1.0])[reached(game)].all()
        # It is optimal at every node, not only along the way.
        there = first_nodes(game)
        close(
            plain_values(arguments, answer, i)[there],
            plain_values(arguments, arrays, i, True)[there],
        )


def reached(game):
    """Which rows of a policy's array are nodes: `(H, S)` or `(S,)`."""
    shape = (game.horizon or 1, game.n_states)
    at = np.zeros(shape, bool)
    at[game.nodes.steps, game.nodes.states] = True
    return at if game.horizon is not None else at[0]


def first_nodes(game):
    """`(S,)` states in which play may begin, with a horizon; without one all."""
    return game.initial > 0 if game.horizon is not None else slice(None)


# --- laws


@st.composite
def situations(draw, kinds=tuple(CLOCKS), sizes=tuple(SIZES), **options):
    kind, n_actions = draw(st.sampled_from(kinds)), draw(st.sampled_from(sizes))
    seed = draw(st.integers(0, 10**6))
    arguments = random_game(kind, n_actions, seed, draw(st.integers(2, 4)), **options)
    return arguments, random_policy(arguments, seed + 1, draw(st.booleans()))


@FAST
@given(situations())
def test_gaps_are_what_best_responses_gain(situation):
    arguments, arrays = situation
    game, policy = MarkovGame(**arguments), JointPolicy(arrays)
    values = evaluate(game, policy)
    best = [best_response(game, policy, i)[0] for i in range(game.n_players)]
    gains = np.array(best) - values
    assert (gains > -1e-11).all()
    gap = nash_gap(game, policy)
    assert gap >= 0.0
    close(gap, gains.sum() if game.kind == "zero-sum" else max(0.0, gains.max()))
    judge, flat = Evaluator(game), policy.flat(game)
    nodes = judge.node_gaps(flat)
    assert nodes.shape == game.nodes.states.shape
    assert (nodes >= 0.0).all()
    close(judge.nash_gap(flat), gap)  # warm


@FAST
@given(situations(sizes=((3,),)))
def test_one_player_at_its_best_response_has_no_gap(situation):
    arguments, arrays = situation
    game = MarkovGame(**arguments)
    value, response = best_response(game, JointPolicy(arrays), 0)
    assert nash_gap(game, JointPolicy([response])) <= 1e-11
    close(best_response(game, JointPolicy([response]), 0)[0], value)


@FAST
@given(situations(sizes=((2, 3), (3, 2)), zero_sum=True))
def test_the_value_lies_between_the_best_responses(situation):
    arguments, arrays = situation
    game, policy = MarkovGame(**arguments), JointPolicy(arrays)
    upper, mine = best_response(game, policy, 0)
    lower, yours = best_response(game, policy, 1)
    assert -lower <= evaluate(game, policy)[0] + 1e-11
    assert evaluate(game, policy)[0] <= upper + 1e-11
    both = JointPolicy([mine, yours])
    # Whatever both play, each can hold the other one to the same value: gaps share an interval.
    assert best_response(game, both, 0)[0] >= -lower - 1e-11
    assert -best_response(game, both, 1)[0] <= upper + 1e-11


@pytest.mark.parametrize("kind", CLOCKS)
def test_mutual_best_responses_have_no_gap(kind):
    """With identical interests, best responses in turn climb until nobody gains."""
    arguments = random_game(kind, (2, 3), seed=8)
    arguments["reward"][1] = arguments["reward"][0]
    game, arrays = MarkovGame(**arguments), random_policy(arguments, seed=9)
    assert game.kind == "potential"
    for k in range(40):
        arrays[k % 2] = best_response(game, JointPolicy(arrays), k % 2)[1]
    assert nash_gap(game, JointPolicy(arrays)) <= 1e-10
    values = evaluate(game, JointPolicy(arrays))
    close(values[0], values[1])


@FAST
@given(situations(sizes=((2, 3), (2, 1, 3), (1, 2, 2))), st.randoms(use_true_random=False))
def test_players_can_be_permuted(situation, random):
    arguments, arrays = situation
    n = len(arrays)
    order = random.sample(range(n), n)
    other = dict(arguments)
    other["reward"] = permuted_axes(arguments["reward"][order], n, order, 0)
    other["transition"] = permuted_axes(arguments["transition"], n, order, 1)
    other["legal"] = [arguments["legal"][i] for i in order]
    one, two = MarkovGame(**arguments), MarkovGame(**other)
    policy, same = JointPolicy(arrays), JointPolicy([arrays[i] for i in order])
    close(evaluate(two, same), evaluate(one, policy)[order])
    close(nash_gap(two, same), nash_gap(one, policy))


def permuted_axes(array, n, order, after):
    """Permute the n axes of actions, which stand before the last `after` axes."""
    first = array.ndim - n - after
    axes = [*range(first), *(first + i for i in order), *range(first + n, array.ndim)]
    return array.transpose(axes)


@FAST
@given(situations(sizes=((2, 3), (3,), (2, 2, 3))), st.randoms(use_true_random=False))
def test_actions_can_be_permuted(situation, random):
    arguments, arrays = situation
    n, other, moved = len(arrays), dict(arguments), []
    transition, reward = arguments["transition"], arguments["reward"]
    other["legal"] = []
    for i, array in enumerate(arrays):
        order = random.sample(range(array.shape[-1]), array.shape[-1])
        transition = np.take(transition, order, axis=transition.ndim - 1 - n + i)
        reward = np.take(reward, order, axis=reward.ndim - n + i)
        other["legal"].append(arguments["legal"][i][:, order])
        moved.append(array[..., order])
    other |= {"transition": transition, "reward": reward}
    one, two = MarkovGame(**arguments), MarkovGame(**other)
    policy, same = JointPolicy(arrays), JointPolicy(moved)
    close(evaluate(two, same), evaluate(one, policy))
    close(nash_gap(two, same), nash_gap(one, policy))


@FAST
@given(situations(), st.randoms(use_true_random=False))
def test_states_can_be_permuted(situation, random):
    arguments, arrays = situation
    n, n_states = len(arrays), len(arguments["initial"])
    order = random.sample(range(n_states), n_states)
    transition, reward = arguments["transition"], arguments["reward"]
    transition = np.take(transition, order, axis=transition.ndim - 2 - n)[..., order]
    other = arguments | {
        "transition": transition,
        "reward": np.take(reward, order, axis=reward.ndim - 1 - n),
        "initial": arguments["initial"][order],
        "legal": [mask[order] for mask in arguments["legal"]],
    }
    one, two = MarkovGame(**arguments), MarkovGame(**other)
    policy, same = JointPolicy(arrays), JointPolicy([array[..., order, :] for array in arrays])
    close(evaluate(two, same), evaluate(one, policy))
    close(nash_gap(two, same), nash_gap(one, policy))


@FAST
@given(
    situations(kinds=("steps", "timed", "timed-discounted", "discounted")),
    st.lists(st.floats(-5, 5), min_size=3, max_size=3),
    st.floats(0.01, 100),
)
def test_rewards_can_be_shifted_and_scaled(situation, shifts, scale):
    arguments, arrays = situation
    shift = np.array(shifts[: len(arrays)])
    horizon, discount = arguments["horizon"], arguments["discount"]
    along = shift.reshape(-1, *[1] * (arguments["reward"].ndim - 1))
    other = arguments | {"reward": scale * arguments["reward"] + along}
    one, two, policy = MarkovGame(**arguments), MarkovGame(**other), JointPolicy(arrays)
    steps = 1 / (1 - discount) if horizon is None else sum(discount**h for h in range(horizon))
    close(evaluate(two, policy), scale * evaluate(one, policy) + shift * steps, 1e-9)
    close(nash_gap(two, policy), scale * nash_gap(one, policy), 1e-9)


@FAST
@given(situations(kinds=("ending", "ending-discounted", "acyclic")), st.floats(0.01, 100))
def test_rewards_of_games_that_end_can_be_scaled(situation, scale):
    arguments, arrays = situation
    other = arguments | {"reward": scale * arguments["reward"]}
    one, two, policy = MarkovGame(**arguments), MarkovGame(**other), JointPolicy(arrays)
    close(evaluate(two, policy), scale * evaluate(one, policy), 1e-9)
    close(nash_gap(two, policy), scale * nash_gap(one, policy), 1e-9)


@pytest.mark.parametrize("kind", ["discounted", "ending"])
def test_a_loose_accuracy_bounds_the_gap_from_above(kind):
    arguments = random_game(kind, (3, 2), seed=3)
    game, flat = MarkovGame(**arguments), JointPolicy(random_policy(arguments)).flat
    exact, loose = Evaluator(game), Evaluator(game, accuracy=0.01)
    for player in (0, 1):
        best = exact.value(flat(game), player, respond=True)
        found = loose.value(flat(game), player, respond=True)
        assert abs(found - best) <= loose.error + 1e-10
        assert loose.error <= 0.02


def test_games_without_rewards_have_no_values():
    for kind in CLOCKS:
        arguments = random_game(kind, (2, 2))
        arguments["reward"] *= 0.0
        game = MarkovGame(**arguments)
        policy = JointPolicy.uniform(game)
        assert evaluate(game, policy).tolist() == [0.0, 0.0]
        assert nash_gap(game, policy) == 0.0


def test_a_discount_close_to_1():
    for discount in (0.999, 0.9999):
        arguments = random_game("discounted", (2, 2), seed=4) | {"discount": discount}
        game, arrays = MarkovGame(**arguments), random_policy(arguments, seed=4)
        for i in (0, 1):
            close(evaluate(game, JointPolicy(arrays))[i], plain(arguments, arrays, i), 1e-9)
            found = best_response(game, JointPolicy(arrays), i)[0]
            close(found, plain(arguments, arrays, i, respond=True), 1e-9)


# --- how long games last


def leaving(probability, discount=1.0):
    """One player in two states who comes and goes, until the game ends with this probability."""
    stay = 1.0 - probability
    transition = [[[0, stay, probability]], [[stay, 0, probability]], [[0, 0, 1]]]
    return MarkovGame(transition, [[[1.0], [1.0], [0.0]]], discount=discount)


@pytest.mark.parametrize("probability", [0.5, 0.1, 0.01, 0.001])
def test_expected_duration_of_games_that_end_by_themselves(probability):
    found = expected_duration(leaving(probability))
    assert 1 / probability <= found * (1 + 1e-12)
    assert found <= 1 / probability * (1 + 1e-5)
    assert effective_horizon(leaving(probability)) - 1 / probability in (0.0, 1.0)  # rounded up


def test_expected_duration_is_of_the_slowest_play():
    # Action 0 leaves at once, action 1 with probability 1/4.
    transition = [[[0, 1], [0.75, 0.25]], [[0, 1], [0, 1]]]
    game = MarkovGame(transition, [[[5.0, 0.0], [0.0, 0.0]]])
    assert 4.0 <= expected_duration(game) <= 4.0001


def test_expected_duration_of_discounted_games():
    close(expected_duration(leaving(0.5, discount=0.9)), 10.0)
    assert effective_horizon(leaving(0.5, discount=0.9)) == 10
    assert effective_horizon(leaving(0.5, discount=0.99)) == 100
    assert effective_horizon(leaving(0.5, discount=2 / 3)) == 3
    assert effective_horizon(leaving(0.5, discount=0.95)) == math.ceil(1 / 0.05)


def test_effective_horizon_of_games_that_need_no_iteration():
    arguments = random_game("acyclic", (2, 2), n_states=4)
    assert effective_horizon(MarkovGame(**arguments)) == 3
    assert effective_horizon(MarkovGame(**arguments | {"horizon": 7})) == 7
    assert effective_horizon(make("rps")) == make("rps").horizon
    rest = MarkovGame([[[1.0]]], [[[0.0]]])
    assert effective_horizon(rest) == 1
    assert expected_duration(rest) == 0.0


# --- joint policies


@pytest.mark.parametrize("kind", CLOCKS)
def test_uniform_policies(kind):
    arguments = random_game(kind, (2, 3))
    game = MarkovGame(**arguments)
    policy = JointPolicy.uniform(game)
    assert len(policy) == 2
    steps = () if game.horizon is None else (game.horizon,)
    for array, mask in zip(policy, game.legal, strict=True):
        assert array.shape == (*steps, *mask.shape)
        close(array, np.broadcast_to(mask / mask.sum(1, keepdims=True), array.shape))
    np.testing.assert_array_equal(policy[-1], policy[1])
    np.testing.assert_array_equal(policy[np.int64(0)], policy[-2])
    for player in (2, -3):
        with pytest.raises(IndexError, match="below 2"):
            policy[player]
    for player in (slice(0, 1), 1.0, "0", None):
        with pytest.raises(TypeError):
            policy[player]


@FAST
@given(situations())
def test_policies_flat_and_back(situation):
    arguments, arrays = situation
    game, policy = MarkovGame(**arguments), JointPolicy(arrays)
    flat = policy.flat(game)
    assert flat.shape == (game.nodes.slots[-1, -1],)
    again = JointPolicy.from_flat(game, flat)
    there = reached(game)
    for array, back, mask in zip(arrays, again, game.legal, strict=True):
        np.testing.assert_array_equal(back[there], array[there])
        uniform = np.broadcast_to(mask / mask.sum(1, keepdims=True), back.shape)
        np.testing.assert_array_equal(back[~there], uniform[~there])
    np.testing.assert_array_equal(JointPolicy(list(again)).flat(game), flat)
    np.testing.assert_array_equal(again.flat(MarkovGame(**arguments)), flat)  # the game built anew
    assert again.flat(game) is flat


def test_pairs_that_cannot_be_reached_are_uniform_and_unchecked():
    transition = np.zeros((3, 2, 3))
    transition[:, 0, 1] = transition[:, 1, 2] = 1.0
    game = MarkovGame(transition, np.ones((1, 3, 2)), initial=[1, 0, 0], horizon=2)
    array = np.full((2, 3, 2), np.nan)
    array[0, 0] = array[1, 1] = array[1, 2] = [1.0, 0.0]
    flat = JointPolicy([array]).flat(game)
    assert flat.tolist() == [1.0, 0.0] * 3
    again = JointPolicy.from_flat(game, flat)[0]
    assert again.tolist() == [[[1, 0], [0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [1, 0], [1, 0]]]
    assert evaluate(game, JointPolicy([array])).tolist() == [2.0]


def test_pure_policies_may_be_integers():
    game = MarkovGame(np.ones((1, 2, 1)), [[[3.0, 5.0]]], horizon=1)
    assert evaluate(game, JointPolicy([[[[0, 1]]]])).tolist() == [5.0]


BAD_POLICIES = {
    "one array": (lambda arrays: arrays[:1], ["2 players", "1 arrays"]),
    "no array": (lambda _: [], ["2 players", "0 arrays"]),
    "three arrays": (lambda arrays: [*arrays, arrays[0]], ["2 players", "3 arrays"]),
    "no steps": (lambda arrays: [arrays[0], arrays[1][0]], ["player 1", "(4, 4, 3)", "(4, 3)"]),
    "too few steps": (lambda arrays: [arrays[0][:3], arrays[1]], ["player 0", "(3, 4, 2)"]),
    "too few states": (lambda arrays: [arrays[0][:, :3], arrays[1]], ["player 0", "(4, 3, 2)"]),
    "players in another order": (lambda arrays: arrays[::-1], ["player 0", "(4, 4, 3)"]),
    "a sum below 1": (lambda arrays: [arrays[0], changed(arrays[1], [0.5, 0.2, 0.2])],
        ["[0.5, 0.2, 0.2] for player 1 in step 2, state 3"]),
    "a negative entry": (lambda arrays: [arrays[0], changed(arrays[1], [1.5, -0.5, 0.0])],
        ["player 1 in step 2, state 3", "-0.5"]),
    "NaN": (lambda arrays: [changed(arrays[0], [np.nan, 1.0]), arrays[1]],
        ["player 0 in step 2, state 3", "nan"]),
    "an illegal action": (lambda arrays: [changed(arrays[0], [0.0, 1.0]), arrays[1]],
        ["legal actions", "[0.0, 1.0] for player 0 in step 2, state 3"]),
}  # fmt: skip


def changed(array, row):
    array = array.copy()
    array[2, 3] = row
    return array


def timed_game():
    arguments = random_game("timed", (2, 3), masked=False)
    arguments["legal"][0][3, 1] = False
    return MarkovGame(**arguments), random_policy(arguments)


@pytest.mark.parametrize(("change", "words"), BAD_POLICIES.values(), ids=BAD_POLICIES)
@pytest.mark.parametrize(
    "use", [evaluate, nash_gap, lambda game, policy: best_response(game, policy, 0)]
)
def test_bad_policies_get_one_sentence(change, words, use):
    game, arrays = timed_game()
    assert 3 in game.nodes.states[game.nodes.steps == 2]
    with pytest.raises(ValueError, match=r"^The 'policy' parameter of [a-z_]+ must be ") as caught:
        use(game, JointPolicy(change(arrays)))
    for word in words:
        assert word in str(caught.value)
    assert str(caught.value).endswith(" instead.")


def test_infinite_policies_get_one_sentence_and_no_warning():
    game, arrays = timed_game()
    with pytest.raises(ValueError, match=r"^The 'policy' parameter .* player 0 in step 2, state 3"):
        evaluate(game, JointPolicy([changed(arrays[0], [np.inf, 0.0]), arrays[1]]))


@pytest.mark.parametrize(
    "arrays",
    [
        ["a", "b"],
        [[["0.5"]], [["0.5"]]],
        [[[0.5, 0.5], [1.0]]],
        [np.ones((1, 1)) * 1j],
        [None],
        5,
        None,
    ],
)
def test_policies_are_numbers(arrays):
    with pytest.raises(
        TypeError, match=r"^The '.+' parameter of JointPolicy must be .* instead\.$"
    ):
        JointPolicy(arrays)


def test_policies_own_their_arrays():
    game, arrays = timed_game()
    policy = JointPolicy(arrays)
    before = evaluate(game, policy)
    for array in arrays:
        array[...] = 0.0
    np.testing.assert_array_equal(evaluate(game, policy), before)


def test_policies_cannot_be_changed():
    game, arrays = timed_game()
    uniform, joint = JointPolicy.uniform(game), CorrelatedPolicy.product(game, JointPolicy(arrays))
    for array in (
        JointPolicy(arrays)[0],
        uniform[0],
        uniform[-1],
        joint.joint,
        CorrelatedPolicy(joint.joint).joint,
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 1.0
    _, answer = best_response(game, uniform, 0)
    answer[...] = 1.0  # nobody else's


def test_policies_say_what_they_are():
    arguments = random_game("steps", (2, 3))
    game = MarkovGame(**arguments)
    policy = JointPolicy.uniform(game)
    words = "JointPolicy(n_players=2, shapes=[(4, 4, 2), (4, 4, 3)])"
    assert repr(policy) == repr(JointPolicy(random_policy(arguments))) == words
    joint = CorrelatedPolicy.product(game, policy)
    assert repr(joint) == "CorrelatedPolicy(shape=(4, 4, 2, 3))"
    assert repr(CorrelatedPolicy(joint.joint)) == repr(joint)
    cyclic = MarkovGame(**random_game("discounted", (2,)))
    assert repr(JointPolicy.uniform(cyclic)) == "JointPolicy(n_players=1, shapes=[(4, 2)])"


TAKERS = {
    "evaluate": evaluate,
    "nash_gap": nash_gap,
    "best_response": lambda game, policy: best_response(game, policy, 0),
    "CorrelatedPolicy.product": CorrelatedPolicy.product,
    "cce_gap": cce_gap,
    "ce_gap": ce_gap,
}


@pytest.mark.parametrize("name", TAKERS)
def test_only_games_and_policies_will_do(name):
    game, arrays = timed_game()
    joint = JointPolicy(arrays)
    correlated = CorrelatedPolicy.product(game, joint)
    right, wrong = (correlated, joint) if name in ("cce_gap", "ce_gap") else (joint, correlated)
    TAKERS[name](game, right)
    start = rf"^The '{{}}' parameter of {re.escape(name)} must be a {{}}.* instead\.$"
    for other in (None, "x", arrays):
        with pytest.raises(TypeError, match=start.format("game", "MarkovGame")):
            TAKERS[name](other, right)
    kind = type(right).__name__
    for other in (None, "x", arrays, game, *([] if name == "evaluate" else [wrong])):
        match = start.format("correlated" if right is correlated else "policy", f"{kind}; {kind}")
        with pytest.raises(TypeError, match=match):
            TAKERS[name](game, other)


def test_policies_are_of_games():
    for use in (JointPolicy.uniform, JointPolicy([[[1.0]]]).flat, CorrelatedPolicy([[1.0]]).flat):
        with pytest.raises(TypeError, match=r"'game' parameter of .* must be a MarkovGame"):
            use("x")


def test_without_a_horizon_no_step_is_named():
    arguments = random_game("discounted", (2, 3), masked=False)
    arrays = random_policy(arguments)
    arrays[1][2] = 0.0
    with pytest.raises(ValueError, match=r"Got \[0.0, 0.0, 0.0\] for player 1 in state 2 instead"):
        evaluate(MarkovGame(**arguments), JointPolicy(arrays))


@pytest.mark.parametrize("player", [2, -1, 7])
def test_best_response_of_an_unknown_player(player):
    game, arrays = timed_game()
    with pytest.raises(ValueError, match=r"^The 'player' parameter of best_response must be"):
        best_response(game, JointPolicy(arrays), player)


@pytest.mark.parametrize("player", ["0", None, 0.0, True])
def test_best_response_of_no_player(player):
    game, arrays = timed_game()
    with pytest.raises(TypeError, match=r"^The 'player' parameter of best_response must be"):
        best_response(game, JointPolicy(arrays), player)


# --- what must never be certified


@pytest.mark.parametrize("leave", [1 / 150, 1 / 250, 1e-4])
@pytest.mark.parametrize("players", [1, 2, 3])
def test_games_that_take_long_to_end(leave, players):
    """State 0 pays player 0 one until it is left, surely in the end: 1 / leave on average."""
    shape = (2,) * players
    P, R = np.zeros((2, *shape, 2)), np.zeros((players, 2, *shape))
    P[0, ..., 0], P[0, ..., 1], P[1, ..., 1] = 1 - leave, leave, 1.0
    R[0, 0], R[1:, 0] = 1.0, -1.0
    game = MarkovGame(P, R, initial=[1.0, 0.0])
    uniform = JointPolicy.uniform(game)
    expected = np.where(np.arange(players) == 0, 1.0, -1.0) / leave
    np.testing.assert_allclose(evaluate(game, uniform), expected, rtol=1e-9)
    assert nash_gap(game, uniform) == pytest.approx(0.0, abs=1e-6)


def test_exact_on_a_game_that_takes_long_to_end():
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.ones(2), size=(2, 3, 3))
    transition = np.zeros((3, 3, 3, 3))
    transition[:2, ..., :2], transition[:2, ..., 2] = 0.999 * P, 0.001
    transition[2, ..., 2] = 1.0
    reward = rng.normal(size=(3, 3, 3))
    reward[2] = 0.0
    game = MarkovGame(transition, np.stack([reward, -reward]))
    solution = solve(game)
    assert solution.gap < 1e-7
    assert np.isfinite(solution.value).all()


def test_no_number_is_no_certificate(monkeypatch):
    game = make("random", states=3, horizon=None, discount=0.9)
    judge = Evaluator(game)
    monkeypatch.setattr(judge, "value", lambda *_, **__: np.nan)
    assert judge.nash_gap(JointPolicy.uniform(game).flat(game)) == np.inf


def test_rows_that_are_off_by_rounding_do_not_falsify_the_gap():
    """Identical interests over 100 steps: rows of 1 + 9e-7 would be worth more than the truth."""
    reward = np.full((2, 2), 100.0)
    reward[1] += 0.004
    game = MarkovGame(np.ones((1, 2, 2, 1)), np.stack([reward] * 2)[:, None], horizon=100)
    first = np.zeros((100, 1, 2))
    first[..., 0] = 1.0
    other = np.full((100, 1, 2), 0.5)
    for off in (0.0, 9e-7, -9e-7):
        found = nash_gap(game, JointPolicy([first * (1 + off), other]))
        assert found == pytest.approx(0.4, abs=1e-6)
