"""Backward induction in turn-based games: known games, plain recursion, ties, what is refused."""

import dataclasses
import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_evaluation import random_game

import metamarl as mm
from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.exact import Exact
from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent
from metamarl.algorithms.solvers import find_solver
from metamarl.envs import MarkovGame, from_rules, make

FAST = settings(deadline=None, max_examples=60, derandomize=True)
CLOCKS = ["steps", "timed", "timed-discounted", "acyclic"]  # those that are not cyclic
SIZES = [(2, 3), (3, 2, 3), (1, 3, 2), (2, 2, 2, 2)]
SENTENCE = r"The '\S+' parameter of \w+ must be .+\. Got .+ instead\."


def turn_based(kind, n_actions, seed=0, n_states=4, whole=False):
    """Arguments of a random MarkovGame in which one player moves at a time, and who moves where.

    `whole`: rewards 0, 1 or 2 and certain transitions, so that there are ties, all of them exact.
    """
    arguments, rng = random_game(kind, n_actions, seed, n_states), np.random.default_rng(seed)
    movers = rng.integers(len(n_actions), size=n_states)
    for i, mask in enumerate(arguments["legal"]):
        alone = np.eye(mask.shape[1], dtype=bool)[mask.argmax(1)]
        mask[movers != i] = alone[movers != i]
    if whole:
        arguments["reward"] = rng.integers(3, size=arguments["reward"].shape).astype(float)
        likeliest = arguments["transition"].argmax(-1)
        arguments["transition"] = np.eye(n_states)[likeliest]
        if kind == "acyclic":
            arguments["reward"][:, -1] = 0.0
    return arguments, movers


def recursion(arguments, movers):
    """Values `(n,)` of the first best actions from the start, and where ties matter to others."""
    transition, reward, horizon = (arguments[k] for k in ("transition", "reward", "horizon"))
    n, n_states = len(reward), len(movers)
    known, ties = {}, set()

    def value(step, state):
        if step == horizon or (horizon is None and state == n_states - 1):
            return np.zeros(n)
        if (step, state) not in known:
            known[step, state] = best_of(step, state)
        return known[step, state]

    def best_of(step, state):
        legal = itertools.product(*(np.flatnonzero(mask[state]) for mask in arguments["legal"]))
        payoffs = []
        for joint in legal:
            P = transition[step] if transition.ndim == n + 3 else transition
            R = reward[:, step] if reward.ndim == n + 3 else reward
            after = 0 if horizon is None else step + 1
            ahead = [p * value(after, t) for t, p in enumerate(P[state][joint]) if p > 0]
            now = R[(slice(None), state, *joint)]
            payoffs.append(now + arguments["discount"] * np.sum(ahead, axis=0))
        payoffs = np.array(payoffs)
        mine = payoffs[:, movers[state]]
        best = np.flatnonzero(mine == mine.max())
        if (payoffs[best] != payoffs[best[0]]).any():
            ties.add((step, state))
        return payoffs[best[0]]

    starts = np.flatnonzero(arguments["initial"] > 0) if horizon else range(n_states)
    for s in starts:
        value(0, s)
    found = sum(arguments["initial"][s] * value(0, s) for s in range(n_states) if s in starts)
    return found, len(ties)


def check(game, solution):
    """A subgame-perfect equilibrium in pure policies: nobody gains, wherever play begins."""
    assert solution.converged
    assert solution.gap == mm.nash_gap(game, solution.policy) < 1e-12
    assert Evaluator(game).node_gaps(solution.policy.flat(game)).max() < 1e-11
    assert np.isin(solution.policy.flat(game), [0.0, 1.0]).all()
    np.testing.assert_array_equal(solution.value, mm.evaluate(game, solution.policy))
    assert solution.iterations == len(solution.trace) == 1
    assert solution.solver == Exact()
    assert solution.correlated is None


# --- known games


def centipede(rounds):
    """Rosenthal 1981: take the larger share now, or let the pot grow and the other one decide."""

    def legal(state):
        mine = [0, 1] if state != "end" else [0]
        return (mine, [0]) if state == "end" or state % 2 == 0 else ([0], mine)

    def step(state, joint):
        if state == "end":
            return [(1.0, "end", (0.0, 0.0))]
        mover, more, less = state % 2, state + 2.0, float(state)
        if joint[mover] == 0:  # take
            return [(1.0, "end", (more, less) if mover == 0 else (less, more))]
        if state == rounds - 1:
            return [(1.0, "end", (less + 1, more + 1) if mover == 0 else (more + 1, less + 1))]
        return [(1.0, state + 1, (0.0, 0.0))]

    return from_rules({0: 1.0}, legal, step, (2, 2))


@pytest.mark.parametrize("rounds", [2, 3, 10, 101])
def test_centipedes_are_stopped_at_once(rounds):
    game = centipede(rounds)
    solution = mm.solve(game)
    check(game, solution)
    assert solution.value.tolist() == [2.0, 0.0]
    assert solution.note == ""  # the only subgame-perfect equilibrium
    for state in range(rounds):
        mine = solution.policy[state % 2][game.states.index(state)]
        assert mine.tolist() == [1.0, 0.0]


def ultimatum(pieces, refuse_first=False):
    """Güth et al. 1982: one offers some of the pieces, the other one takes them or nobody gets any.

    The answers are 0 to accept and 1 to refuse; the other way round where `refuse_first`.
    """

    def legal(state):
        if state == "start":
            return list(range(pieces + 1)), [0]
        return [0], [0, 1] if state != "end" else [0]

    def step(state, joint):
        if state == "start":
            return [(1.0, joint[0], (0.0, 0.0))]
        if state == "end" or joint[1] == (0 if refuse_first else 1):
            return [(1.0, "end", (0.0, 0.0))]
        return [(1.0, "end", (pieces - float(state), float(state)))]

    return from_rules({"start": 1.0}, legal, step, (pieces + 1, 2))


def test_ultimatums_are_taken_and_the_tie_is_said():
    game = ultimatum(10)
    solution = mm.solve(game)
    check(game, solution)
    assert solution.value.tolist() == [10.0, 0.0]
    assert solution.note.startswith("At 1 state the player to move is indifferent while others")
    assert "other equilibria with other values" in solution.note


def test_ties_go_to_the_first_action():
    game = ultimatum(10, refuse_first=True)
    solution = mm.solve(game)
    check(game, solution)
    assert solution.value.tolist() == [9.0, 1.0]  # an offer of nothing is refused
    assert solution.note.startswith("At 1 state ")


def test_three_players_in_sequence():
    """Player 0 opens or not, player 1 joins or not, player 2 chases whoever went alone."""
    pays = {
        (0,): (1.0, 1.0, 1.0),
        (1, 1): (3.0, 3.0, 0.0),
        (1, 0, 0): (2.0, 2.5, 0.5),
        (1, 0, 1): (-1.0, 4.0, 2.0),
    }

    def legal(state):
        mover = None if state in pays or state == "end" else len(state)
        return [[0, 1] if i == mover else [0] for i in range(3)]

    def step(state, joint):
        if state == "end":
            return [(1.0, "end", (0.0,) * 3)]
        if state in pays:
            return [(1.0, "end", pays[state])]
        return [(1.0, (*state, joint[len(state)]), (0.0,) * 3)]

    game = from_rules({(): 1.0}, legal, step, (2, 2, 2))
    solution = mm.solve(game)
    check(game, solution)
    # Player 2 would chase, so player 1 would leave player 0 alone, so player 0 does not open.
    assert solution.value.tolist() == [1.0, 1.0, 1.0]
    chosen = [solution.policy[i][game.states.index(s)].argmax() for i, s in enumerate([(), (1,)])]
    assert chosen == [0, 0]
    assert solution.policy[2][game.states.index((1, 0))].tolist() == [0.0, 1.0]
    assert solution.note == ""


@pytest.mark.parametrize("draw", [0.0, 0.25])
def test_tictactoe_is_what_it_is_as_a_zero_sum_game(draw):
    zero_sum = make("tictactoe", draw=draw)
    table = zero_sum.table
    reward = np.stack([table.reward[0], 3.0 * table.reward[1]])  # the same to the players
    game = MarkovGame.from_table(dataclasses.replace(table, reward=reward), zero_sum.initial)
    assert game.kind == "general-sum"
    solution = mm.solve(game)
    check(game, solution)
    assert solution.value == pytest.approx([draw, -3 * draw])
    assert mm.solve(zero_sum).value[0] == pytest.approx(draw)
    assert mm.nash_gap(zero_sum, solution.policy) == 0.0
    assert solution.note == ""  # what one of them gains the other one loses


def test_identical_interests_reach_the_best_there_is():
    arguments, _ = turn_based("steps", (2, 3, 2), seed=3)
    arguments["reward"][:] = arguments["reward"][0]
    game = MarkovGame(**arguments)
    assert game.kind == "potential"
    solution = mm.solve(game)
    check(game, solution)
    together = {k: v for k, v in arguments.items() if k != "legal"}
    joint = (4, -1)
    together["reward"] = arguments["reward"][:1].reshape(1, *joint)
    together["transition"] = arguments["transition"].reshape(*joint, 4)
    masks = [
        m.reshape(4, *[-1 if k == i else 1 for k in range(3)])
        for i, m in enumerate(arguments["legal"])
    ]
    together["legal"] = [(masks[0] & masks[1] & masks[2]).reshape(joint)]
    assert solution.value[0] == pytest.approx(mm.solve(MarkovGame(**together)).value[0])


# --- random games against plain recursion


@FAST
@given(
    st.sampled_from(CLOCKS), st.sampled_from(SIZES), st.integers(0, 10**6), st.integers(2, 5)
)  # fmt: skip
def test_random_games_against_recursion(kind, n_actions, seed, n_states):
    arguments, movers = turn_based(kind, n_actions, seed, n_states)
    game = MarkovGame(**arguments)
    solution = mm.solve(game, "exact")
    check(game, solution)
    np.testing.assert_allclose(solution.value, recursion(arguments, movers)[0], atol=1e-12)
    assert solution.note == ""
    for array, mask in zip(solution.policy, game.legal, strict=True):
        assert (array[..., ~mask] == 0).all()


@FAST
@given(
    st.sampled_from(["steps", "timed", "acyclic"]), st.sampled_from(SIZES), st.integers(0, 10**6)
)
def test_random_ties_against_recursion(kind, n_actions, seed):
    arguments, movers = turn_based(kind, n_actions, seed, whole=True)
    game = MarkovGame(**arguments)
    solution = mm.solve(game, "exact")
    check(game, solution)
    values, ties = recursion(arguments, movers)
    np.testing.assert_allclose(solution.value, values, atol=1e-12)
    found = re.match(r"At (\d+) (\(step, state\) pair|state)s? ", solution.note)
    assert (int(found[1]) if found else 0) == ties
    if found:
        assert (found[2] == "state") == (game.horizon is None)


def leaving_or_going_on():
    """Player 1 leaves with 1/2, or lets player 0 take 0.3 now, or 0.1 and 0.2 in two ways."""
    after = {"0.2": "end", "also 0.2": "end", "end": "end"}

    def legal(state):
        return {"start": ([0], [0, 1]), "choose": ([0, 1, 2], [0])}.get(state, ([0], [0]))

    def step(state, joint):
        if state == "start":
            return [(1.0, "end", (0.0, 0.5))] if joint[1] == 0 else [(1.0, "choose", (0.0, 0.0))]
        if state != "choose":
            return [(1.0, after[state], (0.0 if state == "end" else 0.2, 0.0))]
        if joint[0] == 0:
            return [(1.0, "end", (0.3, 0.0))]
        if joint[0] == 1:
            return [(1.0, "0.2", (0.1, 1.0))]
        return [(0.7, "0.2", (0.1, 2.0)), (0.3, "also 0.2", (0.1, 2.0))]

    return from_rules({"start": 1.0}, legal, step, (3, 2))


def test_rounding_does_not_hide_ties():
    assert 0.1 + 0.2 > 0.3
    game = leaving_or_going_on()
    solution = mm.solve(game)
    assert solution.policy[0][game.states.index("choose")].tolist() == [1.0, 0.0, 0.0]
    assert solution.note.startswith("At 1 state ")
    # What is passed on is what is played, not what a tied action would have given.
    assert solution.value.tolist() == [0.0, 0.5]


def test_rounding_that_grows_does_not_hide_ties():
    """A tenth on each of a thousand days is a hundred; summed up, it is not."""
    days = 1000

    def legal(state):
        return ([0], [0]) if state else ([0, 1], [0])

    def step(state, joint):
        if state == 0:
            return [(1.0, days, (0.1 * days, 1.0))] if joint[0] == 0 else [(1.0, 1, (0.1, 0.0))]
        return [(1.0, min(state + 1, days), (0.1 * (state < days), 0.0))]

    game = from_rules({0: 1.0}, legal, step, (2, 1))
    assert sum([0.1] * days) != 0.1 * days
    assert mm.solve(game).note.startswith("At 1 state ")
    assert mm.solve(game).value.tolist() == [100.0, 1.0]


@pytest.mark.parametrize("penalty", [0.0, -1e9])
def test_huge_numbers_elsewhere_hide_no_differences(penalty):
    transition = np.ones((1, 3, 1, 1))
    reward = np.array([[[[1.0], [1.0 + 1e-9], [penalty]]], [[[1.0], [0.0], [0.0]]]])
    solution = mm.solve(MarkovGame(transition, reward, horizon=1))
    assert solution.policy[0][0, 0].tolist() == [0.0, 1.0, 0.0]
    assert solution.note == ""


def test_the_same_call_gives_the_same_bits():
    arguments, _ = turn_based("steps", (3, 3, 3), seed=5, n_states=20)
    one, other = (mm.solve(MarkovGame(**arguments)) for _ in range(2))
    for i in range(3):
        np.testing.assert_array_equal(one.policy[i], other.policy[i])


# --- who is taken


def test_auto_is_exact_where_players_take_turns():
    assert find_solver("auto", centipede(3)) == Exact()
    assert find_solver("auto", MarkovGame(**turn_based("steps", (2, 2, 2))[0])) == Exact()
    for kind in ("discounted", "ending"):
        game = MarkovGame(**turn_based(kind, (2, 2, 2))[0])
        assert game.nodes.cyclic
        assert find_solver("auto", game) == OptimisticMirrorDescent()
    game = MarkovGame(**random_game("steps", (2, 2, 2), masked=False))
    assert find_solver("auto", game) == OptimisticMirrorDescent()


def test_only_what_can_be_reached_must_be_in_turns():
    """Both have a choice in state 1, where nobody comes."""
    reward = np.arange(16.0).reshape(2, 2, 2, 2)
    legal = [np.array([[True, True], [True, True]]), np.array([[True, False], [True, True]])]
    stay = np.broadcast_to(np.eye(2)[:, None, None], (2, 2, 2, 2))
    game = MarkovGame(stay, reward, initial=[1, 0], horizon=3, legal=legal)
    solution = mm.solve(game, "exact")
    check(game, solution)
    assert solution.value.tolist() == [6.0, 30.0]
    with pytest.raises(ValueError, match="2 players, some of whom move at once in state 1"):
        mm.solve(MarkovGame(stay, reward, horizon=3, legal=legal), "exact")


@pytest.mark.parametrize("kind", ["steps", "discounted"])
def test_simultaneous_games_are_refused(kind):
    game = MarkovGame(**random_game(kind, (2, 2, 2), masked=False))
    with pytest.raises(ValueError, match="turn-based") as error:
        mm.solve(game, "exact")
    assert re.fullmatch(SENTENCE, str(error.value))
    assert "'omd'" in str(error.value)
    assert "a general-sum game with 3 players, some of whom move at once" in str(error.value)


@pytest.mark.parametrize("kind", ["discounted", "ending", "ending-discounted"])
def test_cyclic_games_are_refused(kind):
    game = MarkovGame(**turn_based(kind, (2, 3))[0])
    with pytest.raises(ValueError, match="without cycles") as error:
        mm.solve(game, "exact")
    assert re.fullmatch(SENTENCE, str(error.value))
    assert "'omd'" in str(error.value)
    assert "players who move in turns, which has cycles" in str(error.value)
