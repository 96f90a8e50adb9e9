"""Self-play in games that `from_pettingzoo` made: learned in as games, graded exactly."""

import numpy as np
import pytest
from small_environments import Parallel, Slippery, Turns

import metamarl as mm

torch = pytest.importorskip("torch")

QUICK = mm.NeuralMirrorDescent(
    hidden=(16,), share=False, copies=64, rollout=4, minibatch=256, epochs=4,
    learning_rate=(2e-2, 2e-3), temperature=(0.1, 0.03),
)  # fmt: skip
TINY = mm.NeuralMirrorDescent(hidden=(8,), copies=4, rollout=5, minibatch=16)


class Pennies(Parallel):
    """Weighted matching pennies, twice: A wins 2 or 1."""

    def pay(self, actions):
        won = actions["a"] == actions["b"]
        prize = 2.0 if won and actions["a"] == 0 else 1.0 if won else -1.0
        return {"a": prize, "b": -prize}


class Ahead(Parallel):
    """Twice, whoever plays 1 is paid by the other one."""

    def pay(self, actions):
        lead = float(actions["a"]) - float(actions["b"])
        return {"a": lead, "b": -lead}


class Nim(Turns):
    """Who takes the last of five wins; one or two at a time, in turn, by a mask."""

    length = 100

    def begin(self, seed):
        self.left = 5

    def observe(self, agent):
        mask = np.array([1, self.left > 1], np.int8)
        turn = self.possible_agents.index(self.agent_selection)
        return {"observation": np.array([self.left, turn]), "action_mask": mask}

    def play(self, agent, action):
        self.left -= 1 + action
        if self.left == 0:
            other = "b" if agent == "a" else "a"
            self.rewards = {agent: 1.0, other: -1.0}
            self.terminations = dict.fromkeys(self.agents, True)


@pytest.mark.parametrize("make", [Ahead, Nim])
def test_what_is_learned_has_its_exact_gap(make):
    game = mm.from_pettingzoo(make)
    assert game.report().exact
    learned = mm.learn(game, QUICK, 20_000, device="cpu", checks=4)
    assert learned.gap == mm.nash_gap(game, learned.joint)
    assert learned.relative_gap == learned.gap / mm.value_span(game)
    assert len(learned.trace) == 4
    uniform = mm.nash_gap(game, mm.JointPolicy.uniform(game))
    assert learned.gap < 0.3 * uniform
    np.testing.assert_allclose(learned.value, mm.evaluate(game, learned.joint))


@pytest.mark.parametrize("make", [Pennies, Nim])
def test_what_is_learned_plays_in_the_environment(make):
    """As arrays, in the environment that the game came from; as networks, in the game."""
    game = mm.from_pettingzoo(make)
    learned = mm.learn(game, TINY, 100, device="cpu")
    there = mm.rollouts(make, mm.Player(game, learned.joint), 300, seed=1)
    here = mm.rollouts(None, learned, 300, seed=2)
    for played in (there, here):
        interval = played.intervals[0]
        assert abs(interval.mean - learned.value[0]) < 2 * (interval.high - interval.mean) + 1e-9


def test_families_of_environments_are_learned_in_and_compared():
    tasks = mm.environment_tasks(Slippery, {"slip": (0.1, 0.3)}, n=3)
    start = mm.learn_start(tasks[:1], TINY, rounds=1, steps=20)
    found = mm.compare(tasks[1:], start, TINY, tol=1e-9, max_iterations=40)
    assert all(row["gap"] > 0 and row["iterations"] == 40 for row in found.rows)


def test_estimated_games_are_graded_in_the_estimate():
    game = mm.from_pettingzoo(Slippery, mode="sample", samples=10)
    learned = mm.learn(game, TINY, 40, device="cpu")
    assert learned.gap == mm.nash_gap(game, learned.joint)


def test_runs_in_such_games_go_on_from_their_folder(tmp_path):
    game = mm.from_pettingzoo(Nim)
    first = mm.learn(game, TINY, 40, device="cpu", folder=tmp_path)
    again = mm.learn(mm.from_pettingzoo(Nim), TINY, 40, device="cpu", folder=tmp_path)
    assert again.gap == first.gap
    with pytest.raises(ValueError, match="other environment"):
        mm.learn(mm.from_pettingzoo(Pennies), TINY, 40, device="cpu", folder=tmp_path)
