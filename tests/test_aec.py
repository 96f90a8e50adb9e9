"""Games as turn-by-turn environments: PettingZoo's tests, and the same play as all at once."""

import copy
import functools
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from pettingzoo.test import api_test, render_test, seed_test
from pettingzoo.test.state_test import state_test
from pettingzoo.utils import aec_to_parallel
from test_to_pettingzoo import GAMES, _game, _race, conformance

import metamarl.envs as me
from metamarl.envs.pettingzoo import to_pettingzoo

aec = functools.partial(to_pettingzoo, api="aec")


def _run(env, rng, seed=0):
    """Play to the end with random legal actions; the moves, and what every agent got by `last`."""
    env.reset(seed=seed)
    moves, totals = [], dict.fromkeys(env.possible_agents, 0.0)
    for agent in env.agent_iter(10_000):
        observation, reward, terminated, truncated, _ = env.last()
        totals[agent] += reward
        if terminated or truncated:
            env.step(None)
            continue
        action = int(rng.choice(np.flatnonzero(observation["action_mask"])))
        moves.append((int(observation["observation"][0]), agent, action))
        env.step(action)
    assert not env.agents
    return moves, totals


@conformance
def test_passes_the_tests_of_pettingzoo(name):
    def make(render_mode=None):
        return aec(_game(name), render_mode, max_steps=15)

    api_test(make(), num_cycles=20)
    seed_test(make, num_cycles=20)
    state_test(make(), to_pettingzoo(_game(name), max_steps=15))
    render_test(make)


@pytest.mark.parametrize("name", [*me.games(), *GAMES])
def test_plays_what_is_played_at_once(name):
    """With the same seed and the same choices: the same states and rewards, and nobody waits."""
    game = _game(name)
    moves, totals = _run(aec(game, max_steps=15), np.random.default_rng(0), seed=3)
    env = to_pettingzoo(game, max_steps=15)
    observations, _ = env.reset(seed=3)
    again = dict.fromkeys(env.agents, 0.0)
    while env.agents:
        state = observations["player_0"]["observation"][0]
        masks = [observations[agent]["action_mask"] for agent in env.agents]
        movers = [a for a, mask in zip(env.agents, masks, strict=True) if mask.sum() > 1]
        joint = {a: int(mask.argmax()) for a, mask in zip(env.agents, masks, strict=True)}
        for mover in movers or ["player_0"]:
            at, agent, action = moves.pop(0)
            assert (at, agent) == (state, mover)
            joint[agent] = action
        observations, rewards, *_ = env.step(joint)
        for agent, reward in rewards.items():
            again[agent] += reward
    assert not moves
    assert totals == pytest.approx(again, abs=1e-12)


def test_in_tictactoe_the_players_take_turns():
    for seed in range(20):
        moves, _ = _run(aec(me.make("tictactoe")), np.random.default_rng(seed))
        assert [agent for _, agent, _ in moves] == [f"player_{k % 2}" for k in range(len(moves))]
        assert 5 <= len(moves) <= 9
        assert len({action for *_, action in moves}) == len(moves)  # nine cells, never "wait"


@pytest.mark.parametrize("name", ["rps", "soccer", "stag-hunt"])
def test_no_mover_sees_what_another_has_chosen(name):
    env = aec(_game(name))
    env.reset(seed=1)
    first = env.agent_selection
    assert first == "player_0"
    seen = []
    for action in range(env.action_space(first).n):
        twin = copy.deepcopy(env)
        twin.step(action)
        assert twin.agent_selection != first
        assert set(twin.rewards.values()) == {0.0}
        seen.append((twin.observe(twin.agent_selection), twin.state(), twin.last()[1:]))
    assert len(seen) > 1
    assert all(data_equivalence(seen[0], other, exact=True) for other in seen)


def test_rewards_of_those_who_do_not_move_are_kept_for_their_turn():
    env = aec(_race())
    env.reset()
    assert env.agent_selection == "player_0"
    env.step(0)  # state 0, action 0: 0 for player 0, -0 for player 1; to state 1
    assert env.agent_selection == "player_1"
    env.step(1)  # state 1: 1 for player 0 (its action is 0), -1 * (1 + 1) for player 1; to state 3
    assert env.rewards == {"player_0": 1.0, "player_1": -2.0}
    assert env.terminations == {"player_0": True, "player_1": True}
    found = {}
    for agent in env.agent_iter():
        found[agent] = env.last()[1]
        env.step(None)
    assert found == {"player_0": 1.0, "player_1": -2.0}


def test_where_nobody_has_a_choice_the_first_player_moves():
    game = me.MarkovGame(np.ones((1, 1, 1, 1)), np.ones((2, 1, 1, 1)), horizon=3)
    moves, totals = _run(aec(game), np.random.default_rng(0))
    assert moves == [(0, "player_0", 0)] * 3
    assert totals == {"player_0": 3.0, "player_1": 3.0}


def test_says_whether_all_players_move_in_every_state():
    for name, together in [("soccer", True), ("one player", True), ("tictactoe", False)]:
        assert aec(_game(name)).metadata["is_parallelizable"] == together
    parallel = aec_to_parallel(aec(_game("soccer")))
    parallel.reset(seed=2)
    rng, steps = np.random.default_rng(0), 0
    while parallel.agents:
        actions = {a: int(rng.integers(5)) for a in parallel.agents}
        _, rewards, *_ = parallel.step(actions)
        steps += 1
    assert steps > 1
    assert sorted(rewards.values()) == [-1.0, 1.0]


def test_illegal_actions_and_truncation():
    legal = [np.array([[False, True, True]])]
    game = me.MarkovGame(np.ones((1, 3, 1)), [[[0, 10, 20]]], horizon=9, legal=legal)
    env = aec(game, "ansi", max_steps=2)
    env.reset()
    env.step(0)
    assert env.last()[1] == 10.0
    assert env.infos["player_0"]["illegal"]
    assert "in place of an illegal action" in env.render()
    env.step(2)
    assert env.last()[1:4] == (20.0, False, True)


def test_errors():
    env = aec(_race())
    for call in (lambda: env.step(0), env.state, lambda: env.observe("player_0")):
        with pytest.raises(gymnasium.error.ResetNeeded, match="Call reset"):
            call()
    env.reset(seed=0)
    for action in [2, -1, 0.0, None, "a"]:
        with pytest.raises(ValueError, match=r"'action' parameter .* from 0 to 1 for player_0"):
            env.step(action)
    assert env.agent_selection == "player_0"
    while env.agents:
        env.step(None if env.terminations[env.agent_selection] else 0)
    with pytest.raises(ValueError, match="the game is over"):
        env.step(None)
    env.reset()
    assert env.agents == ["player_0", "player_1"]
    with pytest.raises(
        ValueError, match="'api' parameter of to_pettingzoo must be one of parallel"
    ):
        to_pettingzoo(_race(), api="turns")


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies_go_on_where_the_original_stands(duplicate):
    env = aec(_game("three players"), max_steps=30)
    env.reset(seed=5)
    env.step(0)  # in the middle of a round
    twin = duplicate(env)
    assert (twin.game is env.game) == (duplicate is copy.deepcopy)
    for _ in range(20):
        assert twin.agent_selection == env.agent_selection
        assert data_equivalence(twin.last(), env.last(), exact=True)
        for e in (env, twin):
            e.step(0)
