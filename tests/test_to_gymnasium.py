"""Best-response problems as Gymnasium environments: its checker, and the values they have."""

import copy
import itertools

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from test_to_pettingzoo import GAMES, _board, _game, _masked, _race

import metamarl as mm
from metamarl.algorithms.response import response_game


def _policy(game, seed=0):
    """A random policy."""
    rng = np.random.default_rng(seed)
    steps = () if game.horizon is None else (game.horizon,)
    weights = [rng.exponential(size=(*steps, *mask.shape)) * mask for mask in game.legal]
    return mm.JointPolicy([w / w.sum(-1, keepdims=True) for w in weights])


def _returns(env, act, episodes, seed=0):
    """Discounted returns of `episodes` in which `act(observation, info)` chooses."""
    found = []
    for k in range(episodes):
        observation, info = env.reset(seed=seed if k == 0 else None)
        total, weight, done = 0.0, 1.0, False
        while not done:
            observation, reward, terminated, truncated, info = env.step(act(observation, info))
            total, weight = total + weight * reward, weight * env.discount
            done = terminated or truncated
        found.append(total)
    return np.array(found)


@pytest.mark.parametrize("name", [*mm.games(), *GAMES])
def test_passes_the_checker_of_gymnasium(name):
    game = _game(name)
    for player in range(min(2, game.n_players)):
        check_env(mm.to_gymnasium(game, player, _policy(game)), skip_render_check=True)


@pytest.mark.parametrize("name", mm.games())
def test_the_benchmark_games_are_registered(name):
    """With all render modes: the checker makes an environment for each."""
    env = gymnasium.make(f"metamarl/{name}-v0")
    check_env(env.unwrapped)
    assert env.unwrapped.game.name == mm.make(name).name


def test_made_with_knobs_a_player_and_opponents():
    opponents = mm.solve(mm.make("soccer", slip=(0.1, 0.1))).policy
    env = gymnasium.make("metamarl/soccer-v0", player=1, opponents=opponents, slip=(0.1, 0.1))
    assert env.unwrapped.player == 1
    value = mm.best_response(mm.make("soccer", slip=(0.1, 0.1)), opponents, 1)[0]
    assert value == pytest.approx(-mm.solve(mm.make("soccer", slip=(0.1, 0.1))).value[0], abs=1e-9)
    env = gymnasium.make("metamarl:metamarl/pursuit-v0", player=1, max_steps=2)
    env.reset(seed=0)
    assert [env.step(4)[3] for _ in range(2)] == [False, True]
    with pytest.raises(ValueError, match="did you mean 'slip'"):
        gymnasium.make("metamarl/soccer-v0", slipp=(0.1, 0.1))


@pytest.mark.parametrize("name", ["rps", "three players", "step-dependent", "turn-based", "soccer"])
@pytest.mark.parametrize("player", [0, 1])
def test_its_best_value_is_that_of_a_best_response(name, player):
    """Solved on the model the environment plays; and reached in play, within 4 standard errors."""
    game = _game(name)
    opponents = _policy(game, seed=1)
    value, response = mm.best_response(game, opponents, player)
    solved = mm.solve(response_game(game, player, opponents))
    assert solved.value[0] == pytest.approx(value, abs=1e-9)
    env = mm.to_gymnasium(game, player, opponents)

    def act(observation, info):
        row = (
            response[observation[0]] if game.horizon is None else response[tuple(observation[::-1])]
        )
        assert info["action_mask"][row.argmax()] == 1
        return int(row.argmax())

    returns = _returns(env, act, 200)
    error = 4 * returns.std(ddof=1) / np.sqrt(len(returns))
    assert abs(returns.mean() - value) <= error + 1e-4
    # And that is above what uniform play gets, unless there is nothing to choose.
    rng = np.random.default_rng(0)
    worse = _returns(env, lambda _, info: rng.choice(np.flatnonzero(info["action_mask"])), 200)
    assert worse.mean() < value + 4 * worse.std(ddof=1) / np.sqrt(len(worse)) + 1e-9


def test_the_opponents_of_a_correlated_policy_follow_their_part():
    """They share each draw, and the player is not told its own part."""
    game = mm.MarkovGame(np.ones((1, 2, 2, 2, 1)), np.ones((3, 1, 2, 2, 2)), horizon=1)
    joint = np.zeros((1, 1, 2, 2, 2))
    joint[0, 0, 0, 0, 0], joint[0, 0, 1, 1, 1] = 0.25, 0.75
    env = mm.to_gymnasium(game, 0, mm.CorrelatedPolicy(joint))
    env.reset(seed=0)
    played = []
    for _ in range(2000):
        env.reset()
        *_, info = env.step(0)
        played.append(info["actions"])
    others = np.array(played)[:, 1:]
    assert (others[:, 0] == others[:, 1]).all()  # they share the draw
    assert abs(others[:, 0].mean() - 0.75) < 4 * np.sqrt(0.25 * 0.75 / 2000)
    assert (np.array(played)[:, 0] == 0).all()


def test_actions_of_the_opponents_follow_their_policy_at_the_step():
    game = _masked((3, 2, 2), horizon=3, timed=True)
    policy = _policy(game, seed=4)
    env = mm.to_gymnasium(game, 1, policy)
    counts = np.zeros((3, 3, 2))
    env.reset(seed=1)
    for _ in range(3000):
        observation, _ = env.reset()
        for step in range(3):
            state = observation[0]
            observation, *_, info = env.step(0)
            counts[step, state, info["actions"][0]] += 1
    for step, state in itertools.product(range(3), range(3)):
        n, p = counts[step, state].sum(), policy[0][step, state]
        assert n > 100
        assert (np.abs(counts[step, state] - n * p) <= 4 * np.sqrt(n * p * (1 - p)) + 1).all()


def test_masks_illegal_actions_and_waiting():
    env = mm.to_gymnasium(_race(), 1, mm.JointPolicy.uniform(_race()), "ansi")
    _, info = env.reset(seed=0)
    assert info["action_mask"].dtype == np.int8
    assert info["action_mask"].tolist() == [1, 0]  # player 0's turn
    assert info["actions"] == ()
    assert env.action_space.sample(mask=info["action_mask"]) == 0
    _, reward, _, _, info = env.step(1)
    assert info["illegal"]
    assert info["actions"][1] == 0
    assert reward == 0.0
    assert "in place of an illegal action" in env.render()


def test_the_seed_reproduces_episodes_and_copies_go_on():
    game = _game("three players")
    runs = []
    for seed in [1, 1, 2]:
        env = mm.to_gymnasium(game, 2, _policy(game))
        runs.append([env.reset(seed=seed), *(env.step(k % 3) for k in range(15))])
    assert data_equivalence(runs[0], runs[1], exact=True)
    assert not data_equivalence(runs[0], runs[2])
    twin = copy.deepcopy(env)
    assert data_equivalence(env.step(0), twin.step(0), exact=True)


def test_pictures():
    game = _race(states=range(4), board=_board)
    env = mm.to_gymnasium(game, 0, mm.JointPolicy.uniform(game), "rgb_array")
    env.reset(seed=0)
    assert env.render().shape == (96, 192, 3)


def test_errors():
    game = _race()
    policy = mm.JointPolicy.uniform(game)
    env = mm.to_gymnasium(game, 0, policy)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    env.reset(seed=0)
    for action in [2, -1, 0.5, None]:
        with pytest.raises(
            ValueError, match=r"'action' parameter of step must be an integer from 0"
        ):
            env.step(action)
    while not env.step(0)[2]:
        pass
    with pytest.raises(ValueError, match="the game is over"):
        env.step(0)
    for bad, message in [
        (("soccer", 0, policy), "'game' parameter of to_gymnasium must be a MarkovGame"),
        ((game, 0.0, policy), "'player' parameter of to_gymnasium must be an integer"),
        ((game, 0, [[0.5, 0.5]]), "'opponents' parameter of to_gymnasium must be a JointPolicy or"),
    ]:
        with pytest.raises(TypeError, match=message):
            mm.to_gymnasium(*bad)
    for bad, message in [
        ((game, 2, policy), "below the number of players, 2. Got 2"),
        ((game, 0, policy, "ans"), "'render_mode' parameter of to_gymnasium .* 'ansi'"),
        ((game, 0, policy, None, 0), "'max_steps' parameter of to_gymnasium"),
        ((game, 0, mm.JointPolicy.uniform(_race(horizon=2))), "of shape .* for player 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            mm.to_gymnasium(*bad)
