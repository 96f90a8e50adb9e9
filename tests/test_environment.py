"""One view of PettingZoo environments: movers, masks, rewards, endings, and what is refused."""

import numpy as np
import pettingzoo
import pytest
from gymnasium import spaces
from pettingzoo.utils.conversions import parallel_to_aec, turn_based_aec_to_parallel
from small_environments import Parallel, Slippery, Turns

import metamarl.envs as me
from metamarl.envs.environment import Environment
from metamarl.envs.pettingzoo import to_pettingzoo


def play(view, rng, most=1000):
    """Random legal play to the end; the list of rewards."""
    paid = []
    while not view.over and len(paid) < most:
        paid.append(view.step({i: int(rng.choice(view.legal(i))) for i in view.movers}))
    return paid


@pytest.mark.parametrize("kind", ["parallel", "aec"])
def test_both_kinds_pay_what_the_game_pays(kind):
    game = me.make("pursuit", size=3, horizon=3)
    env = to_pettingzoo(game)
    view = Environment(env if kind == "parallel" else parallel_to_aec(env), seed=1)
    assert view.agents == ("player_0", "player_1")
    assert view.n_actions == game.n_actions
    rng, totals = np.random.default_rng(0), []
    for seed in range(20):
        view.reset(seed)
        assert view.movers == ((0, 1) if kind == "parallel" else (0,))
        totals.append(sum(play(view, rng)))
        assert view.terminated == [True, True]
        assert view.truncated == [False, False]
        assert view.movers == ()
    totals = np.array(totals)
    assert totals.min() < 0 < totals.max()
    np.testing.assert_array_equal(totals.sum(1), 0)


def test_the_last_reward_is_read_before_the_dead_steps():
    class Prize(Turns):
        def play(self, agent, action):
            if self.t == self.length:
                self.rewards = {"a": 3.0, "b": -3.0}

    assert sum(play(Environment(Prize()), np.random.default_rng(0))).tolist() == [3.0, -3.0]


def test_an_agent_may_die_while_the_others_play_on():
    class Leaving(Turns):
        length, actions, first = 7, (2, 2, 2), (0, 0, 0)

        def play(self, agent, action):
            if agent == "b":
                self.terminations["b"] = True
                self.rewards["b"] = -1.0

    view = Environment(Leaving(("a", "b", "c")))
    paid = play(view, np.random.default_rng(0))
    assert len(paid) == 7
    assert sum(paid).tolist() == [0.0, -1.0, 0.0]
    assert view.over
    view.reset(0)
    view.step({0: 0})
    view.step({1: 0})
    assert view.movers == (2,)
    assert view.terminated == [False, True, False]
    assert view.observation(1) is None


def test_an_agent_may_leave_a_parallel_environment():
    class Leaving(Parallel):
        length = 3

        def step(self, actions):
            result = super().step(actions)
            if self.t == 1:
                self.agents = ["a"]
                result[2]["b"] = True
            return result

    view = Environment(Leaving())
    view.step({0: 0, 1: 0})
    assert view.movers == (0,)
    assert view.legal(1).tolist() == []
    assert len(play(view, np.random.default_rng(0))) == 2
    assert view.terminated == [True, True]


def test_truncation_is_not_termination():
    view = Environment(Slippery(slip=1.0))
    assert len(play(view, np.random.default_rng(0))) == 6
    assert (view.terminated, view.truncated) == ([False, False], [True, True])


@pytest.mark.parametrize("place", ["observation", "info"])
def test_masks_lie_in_observations_or_infos(place):
    class Masked(Parallel):
        actions = (3, 2)

        def mask(self, agent):
            return np.array([0, 1, 1] if agent == "a" else [0, 0], np.int8)

        def see(self, agent):
            seen = {"observation": np.zeros(1), "action_mask": self.mask(agent)}
            return seen if place == "observation" else np.zeros(1)

        def inform(self, agent):
            return {"action_mask": self.mask(agent)} if place == "info" else {}

    view = Environment(Masked())
    assert view.movers == (0,)  # nothing is legal for b: it waits
    assert view.legal(0).tolist() == [1, 2]
    assert view.legal(1).tolist() == []
    view.step({0: 1})


def test_a_waiting_player_moves_when_its_turn_comes():
    env = pettingzoo.make("aec", "classic/tictactoe-v3")
    view = Environment(turn_based_aec_to_parallel(env))
    assert view.movers == (0,)
    view.step({0: 4})
    assert view.movers == (1,)
    assert view.legal(1).tolist() == [0, 1, 2, 3, 5, 6, 7, 8]


def test_actions_are_counted_from_zero_whatever_the_space_says():
    played = []

    class Shifted(Turns):
        actions, first = (2, 3), (5, -1)

        def play(self, agent, action):
            assert self.action_space(agent).contains(action)
            played.append(action)

    view = Environment(Shifted((7, 3)))  # and agents may be numbers
    assert (view.agents, view.n_actions, view.starts) == ((7, 3), (2, 3), (5, -1))
    assert view.action(1, 2) == 1
    play(view, np.random.default_rng(0))
    assert set(played[::2]) <= {5, 6}
    assert set(played[1::2]) <= {-1, 0, 1}


class NoAgents(Parallel):
    def __init__(self):
        super().__init__()
        self.others = self.possible_agents
        del self.possible_agents

    def reset(self, seed=None, options=None):
        raise AssertionError("not reached")


class Born(Parallel):
    def step(self, actions):
        self.agents = [*self.agents, "c"]
        return super().step(actions)


class Continuous(Parallel):
    def action_space(self, agent):
        return spaces.Box(0, 1)


class Undead(Turns):
    def step(self, action):
        if action is None:
            return
        super().step(action)
        self.terminations["b"] = True
        self.agent_selection = "b"


class Vector(Parallel):
    def pay(self, actions):
        return {"a": np.ones(2), "b": np.ones(2)}


class Undefined(Parallel):
    def pay(self, actions):
        return {"a": 1.0, "b": float("nan")}


class Boundless(Turns):
    def play(self, agent, action):
        self.rewards = {"a": -np.inf, "b": 0.0}


class Stuck(Turns):
    def observe(self, agent):
        return {"action_mask": np.zeros(2, np.int8)}


class Misfit(Turns):
    def observe(self, agent):
        return {"action_mask": np.ones(3, np.int8)}


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: 3, TypeError, "a function that makes a PettingZoo environment"),
        (NoAgents, ValueError, "'possible_agents', known before it is played"),
        (Born, ValueError, "'c', born later"),
        (Continuous, TypeError, "Discrete actions"),
        (Undead, ValueError, "one that keeps 'b'"),
        (Vector, TypeError, "rewards are finite numbers"),
        (Undefined, ValueError, r"finite numbers. Got nan for b instead\."),
        (Boundless, ValueError, r"finite numbers. Got -inf for a instead\."),
        (Stuck, ValueError, "a legal action for 'a', whose turn it is"),
        (Misfit, ValueError, r"a mask of shape \(2,\) for 'a'"),
        (lambda: Parallel(("a", "a")), ValueError, "known before it is played"),
    ],
)
def test_what_is_refused(make, error, words):
    with pytest.raises(error, match=words):
        play(Environment(make()), np.random.default_rng(0))
