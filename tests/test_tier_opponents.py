"""Tiers made of Markov games: the tasks, dominance between opponents, and that transfer helps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_evaluation import FAST, random_game, random_policy
from typer.testing import CliRunner

import metamarl as mm
from metamarl.algorithms.evaluator import Evaluator
from metamarl.cli import app
from metamarl.envs import MarkovGame, from_rules, make
from metamarl.envs.tier_families import Tiers
from metamarl.tier_models import solve_tier
from metamarl.tier_opponents import opponent_tiers, task_against


def optimum(task):
    return Evaluator(task).value(mm.JointPolicy.uniform(task).flat(task), 0, respond=True)


def walk(**clock):
    """Whoever is matched walks faster; it ends at 0."""
    return from_rules(
        start={3: 1.0},
        legal=lambda s: [[0, 1], [0, 1]] if s else [[0], [0]],
        step=lambda s, a: [(1.0, max(s - 1 - (a[0] == a[1]), 0), (float(s > 0), -float(s > 0)))],
        n_actions=(2, 2),
        **clock,
    )


# --- tasks


@pytest.mark.parametrize("kind", ["steps", "timed", "timed-discounted", "acyclic"])
def test_a_task_is_worth_what_the_best_response_is(kind):
    arguments = random_game(kind, (2, 3), seed=1)
    game = MarkovGame(**arguments)
    policy = mm.JointPolicy(random_policy(arguments, 2))
    for player in (0, 1):
        task = task_against(game, player, policy)
        assert (task.n_players, task.discount) == (1, game.discount)
        assert task.horizon is not None
        assert optimum(task) == pytest.approx(mm.best_response(game, policy, player)[0], abs=1e-9)


@pytest.mark.parametrize("kind", ["steps", "timed", "timed-discounted"])
def test_a_task_is_cut_to_its_first_steps(kind):
    arguments = random_game(kind, (2, 3), seed=3)
    policy = random_policy(arguments, 4)
    task = task_against(MarkovGame(**arguments), 1, mm.JointPolicy(policy), 2)
    for name in ("transition", "reward"):
        timed = kind != "steps"
        array = arguments[name]
        if timed:
            arguments[name] = array[:2] if name == "transition" else array[:, :2]
    shorter = MarkovGame(**{**arguments, "horizon": 2})
    value = mm.best_response(shorter, mm.JointPolicy([p[:2] for p in policy]), 1)[0]
    assert task.horizon == 2
    assert optimum(task) == pytest.approx(value, abs=1e-9)


def test_a_discounted_game_is_cut_where_little_is_left():
    game = make("big-match")
    policy = mm.solve(game).policy
    task = task_against(game, 0, policy, 200)
    left = game.discount**200 / (1 - game.discount) * np.abs(game.table.reward).max()
    assert optimum(task) == pytest.approx(mm.best_response(game, policy, 0)[0], abs=left + 1e-9)


def test_games_from_rules_and_environments_are_tasks_too():
    game = walk()
    task = task_against(game, 0, mm.solve(game).policy)
    assert task.horizon == 3  # the longest way to the end
    assert optimum(task) == pytest.approx(2.25)
    biased = mm.JointPolicy([np.eye(2)[np.zeros(game.n_states, int)]] * 2)  # never mind the end
    weak = mm.JointPolicy(
        [p * m / (p * m).sum(1, keepdims=True) for p, m in zip(biased, game.legal, strict=True)]
    )
    tiers = Tiers([task_against(game, 0, weak)], task)
    found = mm.diagnose_tiers(*tiers, reward_range=tiers.reward_range)
    assert found.dominates
    assert found.excess == pytest.approx(0.75)  # never matched, the walk takes three steps
    run = mm.tiered(*tiers, episodes=500, reward_range=tiers.reward_range)
    assert run.regret_high[-1] >= 0.0


def test_a_game_against_a_policy_drawn_together():
    game = MarkovGame(**random_game("steps", (2, 3, 2), seed=5))
    told = mm.CorrelatedPolicy.product(game, mm.JointPolicy.uniform(game))
    apart = task_against(game, 1, mm.JointPolicy.uniform(game))
    assert optimum(task_against(game, 1, told)) == pytest.approx(optimum(apart), abs=1e-12)


# --- dominance


@given(st.sampled_from(["steps", "timed", "timed-discounted"]), st.integers(0, 2**32 - 2))
@FAST
def test_every_opponent_dominates_one_at_equilibrium_and_by_its_gap_at_most(kind, seed):
    arguments = random_game(kind, (3, 2), seed, zero_sum=True)
    game = MarkovGame(**arguments)
    policy = mm.JointPolicy(random_policy(arguments, seed + 1, pure=seed % 2))
    tiers = Tiers(
        [task_against(game, 0, policy)], task_against(game, 0, mm.solve(game, "exact").policy)
    )
    found = mm.diagnose_tiers(*tiers, reward_range=tiers.reward_range)
    assert found.violation.max() <= 1e-8
    gaps = Evaluator(game).node_gaps(policy.flat(game))
    assert found.excess <= gaps.max() + 1e-8


def test_an_equilibrium_does_not_dominate_a_weaker_opponent():
    game = make("pursuit", size=2, horizon=3)
    strong = task_against(game, 0, mm.solve(game, "exact").policy)
    weak = task_against(game, 0, mm.JointPolicy.uniform(game))
    found = mm.diagnose_tiers([strong], weak)
    assert not found.dominates
    assert mm.diagnose_tiers([weak], strong).dominates


def test_where_play_cannot_come_values_say_nothing():
    """At other steps than its own a goofspiel state is cut short, and no opponent is optimal."""
    tiers = opponent_tiers("goofspiel", cards=3, sources=1)
    low, high = (solve_tier(task, 0.0, 1.0) for task in (*tiers.low, tiers.high))
    assert (low.values - high.values).min() < -0.01
    assert mm.diagnose_tiers(*tiers, reward_range=tiers.reward_range).dominates


# --- the generator


def test_sources_depend_on_their_number_and_the_seed_alone():
    three, two = (opponent_tiers(sources=n, seed=4, spread=0.05) for n in (3, 2))
    for one, other in zip(three.low, two.low, strict=False):
        np.testing.assert_array_equal(one.table.reward, other.table.reward)
        np.testing.assert_array_equal(one.table.probabilities, other.table.probabilities)
    other = opponent_tiers(sources=1, seed=5, spread=0.05).low[0]
    assert not np.array_equal(other.table.reward, two.low[0].table.reward)


@pytest.mark.parametrize("tol", [0.1, 0.01])
def test_opponents_are_as_good_as_said(tol):
    tiers = opponent_tiers(tol=tol, sources=2)
    assert tiers.reward_range[0] >= 0.0
    assert tiers.reward_range[1] <= 1.0
    for task in tiers.low:
        assert 0.0 <= optimum(task) - optimum(tiers.high) <= tol


def test_games_with_a_seed_of_their_own_are_the_same_game():
    tiers = opponent_tiers("random", sources=1, seed=3, states=2, actions=(2, 2), tol=0.005)
    assert abs(optimum(tiers.low[0]) - optimum(tiers.high)) <= 0.005


def test_transfer_helps_against_an_equilibrium_when_told_how_good_learners_are():
    tiers = opponent_tiers(seed=1)
    slack = mm.diagnose_tiers(*tiers).excess
    agents = ["none", mm.RobustTransfer(slack=slack)]
    regret = [mm.tiered(*tiers, agent, 5000, 0).regret_at([5000])[-1, 0] for agent in agents]
    assert regret[1] < 0.8 * regret[0]


def test_on_the_command_line(tmp_path):
    words = ["tiered", "opponents", "--episodes", "50", "--seeds", "1", "--jobs", "1"]
    done = CliRunner().invoke(app, [*words, "--horizon", "2", "--out", str(tmp_path / "x")])
    assert done.exit_code == 0, done.output
    assert "Optimal Value Dominance holds." in done.stdout
    for option in ("--states", "--actions", "--gap", "--shift"):
        done = CliRunner().invoke(app, [*words, option, "1", "--out", str(tmp_path / "y")])
        assert done.exit_code == 2
        assert "--states, --actions, --gap and --shift do not apply" in done.output


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="'horizon' parameter of task_against must be given"):
        task_against(make("stopping"), 0, mm.JointPolicy.uniform(make("stopping")))
    game = make("rps", rounds=3)
    policy = mm.JointPolicy.uniform(game)
    with pytest.raises(ValueError, match="'horizon' parameter of task_against must be at most"):
        task_against(game, 0, policy, 4)
    with pytest.raises(ValueError, match="'player' parameter of response_game must be"):
        task_against(game, 2, policy)
    with pytest.raises(TypeError, match="'game' parameter of task_against must be"):
        task_against(policy, 0, policy)
    with pytest.raises(ValueError, match="'name' parameter of opponent_tiers must be a two-player"):
        opponent_tiers("routing")
    with pytest.raises(ValueError, match="'player' parameter of opponent_tiers must be 0 or 1"):
        opponent_tiers(player=2)
    with pytest.raises(ValueError, match="'steps' parameter of opponent_tiers must be"):
        opponent_tiers(steps=0)
    with pytest.raises(ValueError, match="'tol' parameter of opponent_tiers must be"):
        opponent_tiers(tol=0.0)
    with pytest.raises(ValueError, match="'sources' parameter of opponent_tiers must be"):
        opponent_tiers(sources=0)
