"""Learned starts with networks that play: learning them, comparing them, going on from them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from small_environments import Parallel

import metamarl as mm

torch = pytest.importorskip("torch")

from metamarl.algorithms._learning_run import LearningRun, make_stepper  # noqa: E402
from metamarl.algorithms.adapters import ADAPTERS  # noqa: E402
from metamarl.algorithms.learner import Learner  # noqa: E402
from metamarl.algorithms.learning import as_environment  # noqa: E402
from metamarl.algorithms.weight_learning import SelfPlayWeights  # noqa: E402

TINY = mm.NeuralMirrorDescent(hidden=(8,), copies=8, rollout=4, minibatch=64)
KNOBS = {"kind": "potential", "states": 2, "actions": (3, 3), "horizon": 2}
QUICK = mm.NeuralMirrorDescent(
    normalise=False,
    hidden=(16,), copies=32, rollout=4, minibatch=512, epochs=4,
    learning_rate=(2e-2, 2e-3), temperature=(0.05, 0.02),
)  # fmt: skip


def family(n=4, spread=0.1, seed=0):
    return mm.tasks("random", n, spread, seed, **KNOBS)


def played(game):
    return mm.EpisodicEnvironment(lambda: mm.to_pettingzoo(game))


def with_adapter(start, name):
    return replace(start, adapter=ADAPTERS[name]())


def same(one, other):
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def start():
    """Learned on the first three games of a family, quickly."""
    return mm.learn_start(family()[:3], QUICK, rounds=20, steps=512)


# --- learning


def test_a_learned_start_helps_in_a_game_that_it_has_not_seen(start):
    """Gap before the first step, and after few, against random weights and as many."""
    game = family()[3]
    alone = mm.learn(game, QUICK, 512)
    there = mm.learn(game, QUICK, 512, init=start)
    uniform = mm.nash_gap(game, mm.JointPolicy.uniform(game))
    assert there.gap < 0.5 * alone.gap
    assert there.gap < 0.6 * uniform
    assert start.steps == 20 * 512
    assert start.options == QUICK


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("method", ["reptile", "fomaml"])
def test_every_adapter_and_method_in_games_and_environments(adapter, method):
    tasks = family(2)
    starts = [
        mm.learn_start(envs, TINY, method, adapter, rounds=2, steps=64, batch=2)
        for envs in (tasks, tasks, [played(game) for game in tasks])
    ]
    assert same(starts[0].weights, starts[1].weights)
    assert same(starts[0].weights, starts[2].weights)  # stepped by the same arrays
    fresh = SelfPlayWeights(TINY).networks(tasks, 0).state_dict()
    assert not same(dict(starts[0].weights), fresh)
    per_task = 64 + (32 if method == "fomaml" else 0)
    assert starts[0].steps == 2 * 2 * per_task
    solution = mm.learn(tasks[0], TINY, 64, init=starts[0])
    assert set(solution.policy.networks.state_dict()) == set(fresh)  # plain networks again


def test_a_task_may_be_an_environment_that_is_no_game_of_ours():
    start = mm.learn_start([Parallel, Parallel], TINY, "fomaml", "colora", rounds=1, steps=32)
    assert mm.learn(Parallel, TINY, 32, init=start).gap is None


def test_what_does_not_adapt_stays_as_it_was(start):
    game = family()[3]
    weights = mm.learn(game, QUICK, 256, init=with_adapter(start, "head"))
    for name, value in weights.policy.networks.state_dict().items():
        assert torch.equal(value, start.weights[name]) == (".head." not in name)


@pytest.mark.parametrize("adapter", ["all", "head"])
def test_moving_magnets_begin_at_the_start_and_follow_what_adapts(start, adapter):
    options = replace(QUICK, magnet="moving", magnet_rate=1.0)
    env = as_environment(family()[3])
    run = LearningRun(env, options, 256, 0, "cpu", 1, with_adapter(start, adapter))
    magnets = run.learner.magnets.state_dict()
    assert all(torch.equal(magnets[name], start.weights[name]) for name in magnets)
    for _ in run.advance():
        pass
    learned = mm.learn(family()[3], options, 256, init=with_adapter(start, adapter), checks=1)
    followed = run.learner.magnets.state_dict()
    assert same(followed, learned.policy.networks.state_dict())


def test_rollouts_compute_adapted_weights_once():
    networks = SelfPlayWeights(TINY).networks(family(1), 0)
    adapted = mm.SparseAdapter().attach(networks)
    learner = Learner(make_stepper(as_environment(family()[0]), TINY), TINY, 1.0, 0)
    learner.use(networks)
    learner.play.begin()
    calls = []
    change = networks.groups[0].actor.head.parametrizations.weight[0]
    change.register_forward_hook(lambda *_: calls.append(1))
    learner.gather()
    assert len(calls) == 1
    assert adapted.n_adapted < 40


@pytest.mark.parametrize("adapter", ["all", "colora"])
def test_an_interrupted_run_from_a_start_goes_on_from_its_checkpoint(
    adapter, tmp_path, monkeypatch
):
    start = mm.learn_start(family(2), TINY, adapter=adapter, rounds=1, steps=64)
    game, options = family()[3], {"steps": 256, "init": start, "checks": 4}
    whole = mm.learn(game, TINY, **options)
    count, update = [], Learner.update

    def stop(self, *args):
        count.append(1)
        if len(count) == 6:
            raise KeyboardInterrupt
        return update(self, *args)

    monkeypatch.setattr(Learner, "update", stop)
    assert mm.learn(game, TINY, **options, folder=tmp_path).interrupted
    monkeypatch.undo()
    again = mm.learn(game, TINY, **options, folder=tmp_path)
    assert same(again.policy.networks.state_dict(), whole.policy.networks.state_dict())
    others = [None, with_adapter(start, "head")] if adapter == "all" else [None]
    for other in others:
        with pytest.raises(ValueError, match="'folder'"):
            mm.learn(game, TINY, **{**options, "init": other}, folder=tmp_path)


# --- comparing


def test_compare_counts_steps_from_random_weights_and_from_a_start(start, tmp_path):
    tasks = family(5)[3:]
    comparison = mm.compare(tasks, start, QUICK, tol=0.13, max_iterations=4096)
    assert comparison.unit == "steps"
    assert comparison.arms == ["none", "reptile, all"]
    assert comparison.speedup > 2
    assert all(row["converged"] for row in comparison.rows)
    for row in comparison.rows:
        trace = comparison.traces[row["seed"], row["task"], row["arm"]]
        assert row["iterations"] == trace.iteration[-1]
        assert row["gap"] == trace.gap[-1] <= 0.13
        assert (trace.gap[:-1] > 0.13).all()
    assert "steps per task" in comparison.table()
    folder = comparison.save(tmp_path / "found")
    assert (folder / "figure.png").stat().st_size > 10_000
    config = json.loads((folder / "config.json").read_text())
    assert config["meta"]["reptile, all"]["options"]["hidden"] == [16]
    assert "weights" not in config["meta"]["reptile, all"]
    again = mm.compare(tasks, start, QUICK, tol=0.13, max_iterations=4096, n_jobs=2)
    for one, other in zip(comparison.rows, again.rows, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_a_start_brings_the_options_that_it_was_learned_with():
    start = mm.learn_start(family(1), TINY, rounds=1, steps=32)
    other = replace(TINY, rollout=8)
    found = mm.compare(family(1), start, other, tol=1e-9, max_iterations=128)
    first = [found.traces[0, 0, arm].iteration[0] for arm in found.arms]
    assert first == [64, 32]  # copies times rollout
    bare = mm.compare(family(1), replace(start, options=None), other, tol=1e-9, max_iterations=128)
    assert bare.traces[0, 0, start.label].iteration[0] == 64


def test_sequences_and_tasks_have_seeds_of_their_own():
    game = family(1)[0]
    found = mm.compare({0: [game, game], 1: [game]}, "none", TINY, tol=1e-9, max_iterations=64)
    assert len({row["gap"] for row in found.rows}) == 3


def test_compare_in_environments_without_a_known_game():
    """There is no gap then, but there is what was earned."""
    env = mm.EpisodicEnvironment(Parallel)
    start = mm.learn_start([env], TINY, rounds=1, steps=32)
    comparison = mm.compare([env, env], start, TINY, tol=0.1, max_iterations=64)
    assert all(np.isnan(row["gap"]) and not row["converged"] for row in comparison.rows)
    assert all(row["iterations"] == 64 for row in comparison.rows)
    assert all(np.isfinite(row["value"]) for row in comparison.rows)


def test_tables_and_weights_do_not_mix(start):
    games = family(2)
    with pytest.raises(ValueError, match=r"'meta' .* what learn_start returned.* Got last instead"):
        mm.compare(games, "last", QUICK)
    with pytest.raises(ValueError, match=r"'meta' .* without networks.* Got reptile, all"):
        mm.compare(games, start, "q-ascent")
    with pytest.raises(ValueError, match=r"what learn_start returned.* Got oracle"):
        mm.compare(games, "oracle", QUICK)


def test_tasks_of_another_shape_are_refused(start):
    other = mm.make("random", **{**KNOBS, "states": 3})
    with pytest.raises(ValueError, match=r"'start' .* networks of this shape"):
        mm.learn(other, QUICK, 64, init=start)
    with pytest.raises(ValueError, match=r"'environments' .* alike"):
        mm.learn_start([family(1)[0], other], TINY, rounds=4, steps=32)


def test_a_start_with_options_comes_back_from_its_file(start, tmp_path):
    again = mm.load_start(start.save(tmp_path / "start"))
    assert again.options == start.options == QUICK
    assert again.described() == start.described()
    assert same(dict(again.weights), dict(start.weights))
