"""Games as PettingZoo environments: PettingZoo's own tests, and that they play the game's table."""

import copy
import functools
import itertools
import pickle
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, render_test, seed_test
from pettingzoo.test.state_test import state_test
from pettingzoo.utils import parallel_to_aec

import metamarl.envs as me
from metamarl.envs.pettingzoo import to_pettingzoo
from metamarl.envs.render import picture


def _masked(shape, horizon=None, discount=1.0, seed=0, timed=False, **options):
    """A random game `shape` = (S, A_1, …, A_n) with random masks."""
    rng = np.random.default_rng(seed)
    steps = (horizon,) if timed else ()
    P = rng.dirichlet(np.full(shape[0], 0.5), (*steps, *shape))
    R = rng.normal(size=(len(shape) - 1, *steps, *shape))
    legal = [rng.random((shape[0], k)) < 0.5 for k in shape[1:]]
    for mask in legal:
        mask[np.arange(len(mask)), rng.integers(mask.shape[1], size=len(mask))] = True
    return me.MarkovGame(P, R, horizon=horizon, discount=discount, legal=legal, **options)


def _race(horizon=None, discount=1.0, **options):
    """Turn-based: the players walk in turn towards state 3, where play rests; no chance."""
    P, R = np.zeros((4, 2, 2, 4)), np.zeros((2, 4, 2, 2))
    legal = [np.array([[1, 1], [1, 0], [1, 1], [1, 0]], bool)]
    legal.append(np.array([[1, 0], [1, 1], [1, 0], [1, 0]], bool))
    for s, a, b in itertools.product(range(3), range(2), range(2)):
        P[s, a, b, min(3, s + 1 + (a if s != 1 else b))] = 1
        R[:, s, a, b] = s + a, -float(s) * (1 + b)
    P[3, :, :, 3] = 1
    return me.MarkovGame(P, R, [1, 0, 0, 0], horizon, discount, legal, name="race", **options)


def _board(state):
    return ["A..#", "." * state + "b"]


GAMES = {
    "one player": lambda: _masked((5, 3), horizon=4),
    "three players": lambda: _masked((4, 2, 1, 3), discount=0.8),
    "step-dependent": lambda: _masked((4, 2, 3), horizon=6, timed=True),
    "turn-based": _race,
    "turn-based, horizon": lambda: _race(horizon=5),
    "loop": lambda: me.MarkovGame(np.ones((1, 2, 2, 1)), np.ones((2, 1, 2, 2)), discount=0.5),
}


@functools.cache
def _game(name):
    return GAMES[name]() if name in GAMES else me.make(name)


def _play(env, rng, masked=True):
    """Play to the end; yields the actions, and what `step` returned."""
    observations, infos = env.reset(seed=int(rng.integers(1000)))
    for _ in range(1000):
        if not env.agents:
            return
        actions = {}
        for agent in env.agents:
            mask = observations[agent]["action_mask"]
            options = np.flatnonzero(mask) if masked else np.arange(len(mask))
            actions[agent] = int(rng.choice(options))
        before = infos[env.agents[0]]
        result = env.step(actions)
        observations, infos = result[0], result[4]
        yield before, actions, result
    raise AssertionError("no end")


# What PettingZoo's tests remark about observations that are not pictures:
remarks = [
    "Observation is not a NumPy array",  # but a dictionary, known to it for its own games only
    "Observation is a single number",  # the state, where there is no horizon
    "Observation numpy array is all zeros",  # state 0 at step 0
    "Observation space for each agent probably should be gymnasium.spaces.box",
    "Agents have different observation space sizes",  # the masks of unequal action counts
    "State space for each environment probably should be gymnasium.spaces.box",
    "State is a single number",
    "State numpy array is all zeros",
]


def conformance(test):
    for remark in remarks:
        test = pytest.mark.filterwarnings(f"ignore:{remark}:UserWarning")(test)
    return pytest.mark.parametrize("name", [*me.games(), *GAMES])(test)


@conformance
def test_passes_the_tests_of_pettingzoo(name):
    def make(render_mode=None):
        return to_pettingzoo(_game(name), render_mode, max_steps=15)

    def make_aec(render_mode=None):
        return parallel_to_aec(make(render_mode))

    parallel_api_test(make(), num_cycles=20)
    api_test(make_aec(), num_cycles=20)
    parallel_seed_test(make, num_cycles=20)
    seed_test(make_aec, num_cycles=20)
    state_test(make_aec(), make())
    render_test(make_aec)


@pytest.mark.parametrize("name", [*me.games(), *GAMES])
def test_observations_lie_in_their_space_and_masks_are_those_of_the_game(name):
    game = _game(name)
    env = to_pettingzoo(game, max_steps=15)
    rng = np.random.default_rng(0)
    for _ in range(5):
        for _, _, (observations, rewards, terminated, truncated, infos) in _play(env, rng):
            for i, agent in enumerate(env.possible_agents):
                seen, info = observations[agent], infos[agent]
                assert env.observation_space(agent).contains(seen)
                assert seen["observation"][0] == info["state"]
                if game.horizon is not None:
                    assert seen["observation"].tolist() == [info["state"], info["step"]]
                np.testing.assert_array_equal(seen["action_mask"], game.legal[i][info["state"]])
                assert seen["action_mask"].dtype == np.int8
                assert not info["illegal"]
                assert type(rewards[agent]) is float
                assert type(terminated[agent]) is bool
                assert type(truncated[agent]) is bool
            np.testing.assert_array_equal(env.state(), seen["observation"])
            assert env.state_space.contains(env.state())
        assert terminated[agent] != truncated[agent]


@pytest.mark.parametrize("name", ["random", *GAMES])
def test_rewards_and_next_states_are_those_of_the_arrays(name):
    game = _game(name)
    P, R = game.dense()
    timed = P.ndim > len(game.n_actions) + 2
    env = to_pettingzoo(game, max_steps=20)
    rng = np.random.default_rng(1)
    for before, actions, (_, rewards, _, _, infos) in itertools.chain(
        *(_play(env, rng) for _ in range(10))
    ):
        at = ((before["step"],) if timed else ()) + (before["state"], *actions.values())
        np.testing.assert_array_equal(list(rewards.values()), R[(slice(None), *at)])
        assert P[(*at, infos["player_0"]["state"])] > 0


def _close(found, probabilities):
    """Whether counts are within 4 standard deviations (and one draw) of what is expected."""
    n, p = found.sum(), np.asarray(probabilities)
    return (np.abs(found - n * p) <= 4 * np.sqrt(n * p * (1 - p)) + 1).all()


@pytest.mark.parametrize("step", [0, 2])
def test_next_states_are_drawn_from_the_row(step):
    game = _masked((4, 2, 3), horizon=3, timed=True)
    P, _ = game.dense()
    env = to_pettingzoo(game)
    env.reset(seed=0)
    firsts, counts = np.zeros(4), np.zeros((4, 4))
    last = np.array([[np.flatnonzero(row)[-1] for row in mask] for mask in game.legal])
    for _ in range(4000):
        env.reset()
        firsts[env.state()[0]] += 1
        for _ in range(step):
            env.step({"player_0": 0, "player_1": 0})
        state = env.state()[0]
        env.step(dict(zip(env.agents, last[:, state], strict=True)))
        counts[state, env.state()[0]] += 1
    assert _close(firsts, np.full(4, 1 / 4))  # the start is uniform
    for state, (a, b) in enumerate(last.T):
        assert counts[state].sum() > 300
        assert _close(counts[state], P[step, state, a, b])


def test_first_states_follow_the_initial_distribution():
    shape = (3, 1)
    game = me.MarkovGame(
        np.full((*shape, 3), 1 / 3), np.zeros((1, *shape)), [0.2, 0, 0.8], horizon=1
    )
    env = to_pettingzoo(game)
    env.reset(seed=3)
    found = np.zeros(3)
    for _ in range(3000):
        observations, _ = env.reset()
        found[observations["player_0"]["observation"][0]] += 1
    assert found[1] == 0
    assert _close(found, game.initial)


@pytest.mark.parametrize("name", [*me.games(), *GAMES])
def test_the_seed_reproduces_whole_episodes(name):
    """PettingZoo's own seed test looks at the first step only."""
    runs = []
    for seed in [4, 4, 5]:
        env, rng = to_pettingzoo(_game(name), max_steps=15), np.random.default_rng(seed)
        runs.append([step for _ in range(3) for step in _play(env, rng, masked=False)])
    assert data_equivalence(runs[0], runs[1])
    if name in ("random", "one player", "three players"):
        assert not data_equivalence(runs[0], runs[2])


def test_without_a_seed_the_generator_goes_on_and_no_global_one_is_touched():
    before = np.random.get_state()[1].copy()  # noqa: NPY002  (that it stays is what is tested)
    env, twin = to_pettingzoo(_game("one player")), to_pettingzoo(_game("one player"))
    for e in (env, twin):
        e.reset(seed=11)
        e.reset()
    assert env.np_random.bit_generator.state == twin.np_random.bit_generator.state
    assert env.np_random_seed == 11
    env.step({"player_0": 0})
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_an_illegal_action_is_replaced_by_the_first_legal_one():
    legal = [np.array([[False, True, True]])]
    env = to_pettingzoo(
        me.MarkovGame(np.ones((1, 3, 1)), [[[0, 10, 20]]], horizon=3, legal=legal), "ansi"
    )
    env.reset()
    env.step({"player_0": 0})
    assert "player_0: 1 (in place of an illegal action), reward 10" in env.render()
    env.reset()
    played = [env.step({"player_0": action}) for action in range(3)]
    assert [step[1]["player_0"] for step in played] == [10, 10, 20]
    assert [step[4]["player_0"]["illegal"] for step in played] == [True, False, False]


def test_waiting_players_have_one_legal_action():
    env = to_pettingzoo(_race(), "ansi")
    env.reset()
    _, rewards, _, _, infos = env.step({"player_0": 1, "player_1": 1})  # player 1 must wait
    assert rewards == {"player_0": 1.0, "player_1": 0.0}
    assert str(rewards["player_1"]) == "0.0"  # not "-0.0", though so it is stored
    assert not infos["player_0"]["illegal"]
    assert infos["player_1"]["illegal"]
    assert infos["player_1"]["state"] == 2
    assert "player_1: 0 (in place of an illegal action), reward 0" in env.render()
    _, _, _, _, infos = env.step({"player_0": 0, "player_1": 0})
    assert not infos["player_1"]["illegal"]


def _length(env):
    """Steps until the end, always playing action 0; whether it terminated, was truncated."""
    env.reset(seed=0)
    for k in range(1, 1000):
        _, _, terminated, truncated, infos = env.step(dict.fromkeys(env.agents, 0))
        if not env.agents:
            assert set(terminated) == set(infos) == set(env.possible_agents)
            return k, terminated["player_0"], truncated["player_0"]
    raise AssertionError("no end")


def test_termination_and_truncation():
    loop = functools.partial(me.MarkovGame, np.ones((1, 1, 1)), np.ones((1, 1, 1)))
    assert _length(to_pettingzoo(loop(horizon=7))) == (7, True, False)
    assert _length(to_pettingzoo(loop(horizon=7), max_steps=7)) == (7, True, False)
    assert _length(to_pettingzoo(loop(horizon=7), max_steps=5)) == (5, False, True)
    assert _length(to_pettingzoo(loop(horizon=30, discount=0.5))) == (30, True, False)
    assert _length(to_pettingzoo(loop(discount=0.9))) == (100, False, True)
    assert _length(to_pettingzoo(loop(discount=0.0))) == (10, False, True)
    assert _length(to_pettingzoo(loop(discount=0.9), max_steps=3)) == (3, False, True)
    assert _length(to_pettingzoo(_race())) == (3, True, False)  # 0, 1, 2, then the rest
    assert _length(to_pettingzoo(_race(discount=0.5))) == (3, True, False)
    assert _length(to_pettingzoo(_race(horizon=9))) == (3, True, False)
    assert _length(to_pettingzoo(_race(horizon=2))) == (2, True, False)
    assert to_pettingzoo(_race()).max_steps is None
    later = np.array([0.0, 0.0, 1.0]).reshape(1, 3, 1, 1)  # at rest in step 0, rewards in step 2
    assert _length(to_pettingzoo(me.MarkovGame([[[1.0]]], later, horizon=3))) == (3, True, False)


def test_after_the_end():
    env = to_pettingzoo(_race(horizon=1))
    env.reset()
    env.step({"player_0": 0, "player_1": 0})
    assert env.agents == []
    assert env.step({}) == ({}, {}, {}, {}, {})
    with pytest.raises(ValueError, match="the game is over"):
        env.step({"player_0": 0, "player_1": 0})
    env.reset()
    assert env.agents == ["player_0", "player_1"]


def test_errors():
    env = to_pettingzoo(_race())
    for call in (lambda: env.step({}), env.state):
        with pytest.raises(gymnasium.error.ResetNeeded, match="Call reset"):
            call()
    with pytest.raises(ValueError, match="The 'seed' parameter of reset must be"):
        env.reset(seed=-1)
    env.reset(seed=0)
    for actions in [{}, {"player_0": 0}, {"player_0": 0, "player_1": 0, "player_2": 0}]:
        with pytest.raises(ValueError, match=r"one action for each of .*player_1"):
            env.step(actions)
    for action in [2, -1, 0.0, "a", None, np.array([0])]:
        with pytest.raises(ValueError, match=r"integer from 0 to 1 for player_1. Got"):
            env.step({"player_0": 0, "player_1": action})
    assert env.state().tolist() == [0]  # nothing was played
    env.step({"player_0": np.int32(0), "player_1": np.array(0)})
    with pytest.raises(TypeError, match="must be a MarkovGame"):
        to_pettingzoo("soccer")
    with pytest.raises(ValueError, match=r"'render_mode' parameter of to_pettingzoo .* 'ansi'"):
        to_pettingzoo(_race(), "ans")
    with pytest.raises(ValueError, match=r"one of ansi, human. Got 'rgb_array'"):
        to_pettingzoo(_race(), "rgb_array")
    with pytest.raises(ValueError, match="'max_steps' parameter"):
        to_pettingzoo(_race(), max_steps=0)


def test_text():
    names = [["short", "long"], ["slow", "fast"]]
    env = to_pettingzoo(_race(horizon=4, states="abcd", actions=names), "ansi")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.render()
    env.reset()
    assert env.render() == "race, step 0 of 4\nstate 0: a"
    env.step({"player_0": 1, "player_1": 0})
    assert env.render() == (
        "race, step 1 of 4\nstate 2: c\nplayer_0: long, reward 1\nplayer_1: slow, reward 0"
    )


def test_text_of_a_board_is_printed_for_humans(capsys):
    env = to_pettingzoo(_race(states=range(4), board=_board), "human")
    env.reset()
    env.step({"player_0": 0, "player_1": 0})
    assert env.render() is None
    first, second, third = capsys.readouterr().out.split("\n\n")[:3]
    assert first == "race, step 0\nA..#\nb"
    assert second == third == "race, step 1\nA..#\n.b\nplayer_0: 0, reward 0\nplayer_1: 0, reward 0"


def test_pictures():
    env = to_pettingzoo(_race(states=range(4), board=_board), "rgb_array")
    assert "rgb_array" in env.metadata["render_modes"]
    env.reset()
    start = env.render()
    env.step({"player_0": 0, "player_1": 0})
    now = env.render()
    assert start.shape == now.shape == (2 * 48, 4 * 48, 3)
    assert now.dtype == np.uint8
    assert now.flags.writeable
    changed = (start != now).any(-1).reshape(2, 48, 4, 48).any((1, 3))
    assert changed.tolist() == [[False] * 4, [True, True, False, False]]
    tiles = {c: picture([c]).tobytes() for c in "AaBbPXO#. 12"}
    assert len(set(tiles.values())) == len(tiles)


@pytest.mark.parametrize("name", me.games())
def test_every_game_can_be_shown(name):
    for mode in to_pettingzoo(_game(name)).metadata["render_modes"]:
        env = to_pettingzoo(_game(name), mode, max_steps=3)
        for _ in _play(env, np.random.default_rng(0)):
            shown = env.render()
            if mode == "ansi":
                assert _game(name).name in shown
            elif mode == "rgb_array":
                assert shown.dtype == np.uint8
                assert shown.shape[2] == 3


def test_nothing_is_shown_without_a_render_mode():
    env = to_pettingzoo(_race())
    env.reset()
    with pytest.warns(UserWarning, match="no render_mode"):
        assert env.render() is None


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies_go_on_where_the_original_stands(duplicate):
    env = to_pettingzoo(_game("three players"), "ansi")
    env.reset(seed=5)
    action = dict.fromkeys(env.agents, 0)
    env.step(action)
    twin = duplicate(env)
    assert (twin.game is env.game) == (duplicate is copy.deepcopy)
    assert twin.np_random is not env.np_random
    for _ in range(10):
        assert data_equivalence(env.step(action), twin.step(action))
        assert env.render() == twin.render()
    twin.step(action)
    assert env.np_random.bit_generator.state != twin.np_random.bit_generator.state


def test_returned_arrays_are_not_shared():
    env = to_pettingzoo(_game("turn-based"))
    observations, _ = env.reset()
    observations["player_0"]["observation"][:] = 3
    observations["player_0"]["action_mask"][:] = 0
    assert env.state().tolist() == [0]
    assert observations["player_1"]["observation"].tolist() == [0]
    assert env.game.legal[0][0].all()


def test_importing_metamarl_does_not_import_pettingzoo():
    code = (
        "import metamarl, metamarl.envs, sys; print({'pettingzoo', 'gymnasium'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
