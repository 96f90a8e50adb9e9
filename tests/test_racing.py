"""Starts in potential games: which past solution, when it is of use, and races against scratch."""

import numpy as np
import pytest

import metamarl as mm
from metamarl import racing
from metamarl.algorithms.solution import Status
from metamarl.algorithms.solver import AbstractRun
from metamarl.envs import MarkovGame, make, tasks

ASCENTS = [mm.QAscent(), mm.PolicyGradient(), mm.NaturalPolicyGradient()]
LIMIT = 10_000


def common(*payoffs):
    """A one-shot game in which all players are paid alike."""
    R = np.array(payoffs, float)
    return MarkovGame(np.ones((1, *R.shape, 1)), [[R]] * R.ndim, horizon=1)


def play(*rows):
    return mm.JointPolicy([np.array(row, float).reshape(1, 1, -1) for row in rows])


def pure(a, b):
    return play(np.eye(2)[a], np.eye(2)[b])


def robust(game, past, solver=None, tol=1e-4, limit=None):
    return mm.Robust().solve(game, past, solver or mm.QAscent(), tol, limit)


ASYMMETRIC = common([2, 0], [0, 1])  # scratch finds 2; (1, 1) is an equilibrium worth 1
SYMMETRIC = common([1, 0], [0, 1])  # the uniform policy is a saddle


@pytest.mark.parametrize("solver", ASCENTS)
def test_a_bad_equilibrium_is_not_handed_on(solver):
    """The race after one game finds it; the best response to uniform at any other time."""
    for count in (1, 2, 3, 7):
        found = robust(ASYMMETRIC, [pure(1, 1)] * count, solver)
        assert found.value[0] == pytest.approx(2.0, abs=1e-3)
    stuck = mm.solve(ASYMMETRIC, solver, pure(1, 1), tol=1e-4)
    assert stuck.value[0] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("solver", ASCENTS)
def test_a_race_counts_all_iterations(solver):
    past, part = pure(0, 0), 0.01 if isinstance(solver, mm.NaturalPolicyGradient) else 0.0
    mixed = [(1 - part) * row + part / 2 for row in past]
    learned = mm.solve(ASYMMETRIC, solver, mm.JointPolicy(mixed), tol=1e-4)
    scratch = mm.solve(ASYMMETRIC, solver, tol=1e-4)
    raced = robust(ASYMMETRIC, [past], solver)
    assert raced.iterations == learned.iterations + scratch.iterations
    assert raced.trace.iteration[-1] == raced.iterations
    assert len(raced.trace) == len(raced.trace.potential) == len(learned.trace) + 1
    assert (np.diff(raced.trace.iteration) > 0).all()
    assert raced.gap == raced.trace.gap[-1]
    assert raced.trace.potential[-1] == mm.potential_value(ASYMMETRIC, raced.policy)
    calm = robust(ASYMMETRIC, [past] * 2, solver)  # nothing to doubt
    assert calm.iterations == learned.iterations


def test_races_are_after_1_4_16_games():
    found = [robust(ASYMMETRIC, [pure(0, 0)] * k).iterations for k in range(1, 18)]
    assert [k + 1 for k, n in enumerate(found) if n > 1] == [1, 4, 16]


def test_the_highest_potential_is_the_start():
    game = common([3, 0, 0], [0, 2, 0], [0, 0, 1])
    worst, middle = (play(np.eye(3)[k], np.eye(3)[k]) for k in (2, 1))
    found = robust(game, [middle, middle, worst])  # the newest is behind: a race, which 3 wins
    assert found.value[0] == pytest.approx(3.0, abs=1e-3)
    assert found.iterations > 1
    best = play(np.eye(3)[0], np.eye(3)[0])
    assert robust(game, [best, worst, best]).iterations == 1


def test_unrelated_games_start_from_scratch():
    flipped = common([0, 2], [2, 0])
    scratch = mm.solve(flipped, "q-ascent", tol=1e-4)
    found = robust(flipped, [pure(0, 0)] * 4)
    assert found.iterations == scratch.iterations
    np.testing.assert_array_equal(found.trace.gap, scratch.trace.gap)


@pytest.mark.parametrize("solver", ASCENTS)
def test_a_saddle_is_left(solver):
    saddle = mm.solve(SYMMETRIC, solver, tol=1e-4)
    assert saddle.value[0] == pytest.approx(0.5)
    for count in (2, 3, 4):
        found = robust(SYMMETRIC, [saddle.policy] * count, solver)
        assert found.value[0] == pytest.approx(1.0, abs=1e-3)
    again = robust(SYMMETRIC, [saddle.policy] * 2, solver)
    once_more = robust(SYMMETRIC, [saddle.policy] * 2, solver)
    np.testing.assert_array_equal(again.policy[0], once_more.policy[0])


def test_the_nudge_is_of_mixed_rows_alone():
    game = common([[1, 0], [0, 1]], [[0, 1], [1, 0]])  # three players
    flat = np.array([1.0, 0.0, 0.5, 0.5, 0.995, 0.005])
    found = racing._nudged(game, flat, np.random.default_rng(0))
    np.testing.assert_array_equal(found[[0, 1, 4, 5]], flat[[0, 1, 4, 5]])
    assert found[2:4].sum() == pytest.approx(1.0)
    assert 0.0 < abs(found[2] - 0.5) <= 0.025


def test_stag_hunts_with_hares_of_all_prices():
    """`last` stays with the hares that it began with; a start from scratch is never missed."""
    found = mm.compare(
        {seed: tasks("stag-hunt", 8, 0.9, seed, hare=2.2) for seed in range(6)},
        ["robust", "last"],
        "q-ascent",
    )
    values = {arm: [r["value"] for r in found.rows if r["arm"] == arm] for arm in found.arms}
    np.testing.assert_allclose(values["robust"], values["none"], rtol=1e-3)
    assert np.mean(values["last"]) < np.mean(values["none"]) - 1.0
    assert found.speedups()["robust"].mean > 1.0


def test_safe_distancing_leaves_the_equilibrium_of_the_uniform_start():
    found = mm.compare(tasks("safe-distancing", 6, 0.02, agents=4), "robust", "q-ascent")
    by_task = {(r["arm"], r["task"]): r["value"] for r in found.rows}
    assert by_task["none", 5] < -6000
    assert by_task["robust", 5] > 900
    assert found.speedup > 1.2


@pytest.mark.parametrize(("spread", "least"), [(0.01, 2.0), (0.3, 0.97)])
def test_random_games_lose_no_value(spread, least):
    families = {s: tasks("random", 8, spread, s, kind="potential") for s in range(8)}
    found = mm.compare(families, "robust", "q-ascent", tol=1e-2)
    value = {
        arm: np.mean([r["value"] for r in found.rows if r["arm"] == arm]) for arm in found.arms
    }
    assert value["robust"] > value["none"] - 1e-3
    assert found.speedup > least


def test_limits_are_kept():
    game = make("random", kind="potential", actions=(3, 3))
    past = [mm.solve(game, "q-ascent", tol=1e-3).policy]
    for limit in (1, 2, 3, 4, 9, 40):
        found = robust(game, past, mm.QAscent(step_size=1e-3), 1e-12, limit)
        assert found.iterations <= limit
        assert found.status is Status.MAX_ITERATIONS
        assert found.trace.iteration[-1] == found.iterations
    one = robust(game, past, mm.QAscent(step_size=1e-3), 1e-12, 40)
    assert one.iterations == 40  # the rest goes to the winner
    assert (np.diff(one.trace.iteration) > 0).all()


def test_other_solvers_and_games_start_from_the_mean():
    game = make("stag-hunt")
    past = [mm.JointPolicy.uniform(game)]
    expected = mm.solve(game, "omd", mm.Robust().start(game, past), tol=1e-2, throw=False)
    found = robust(game, past, mm.OptimisticMirrorDescent(), 1e-2)
    assert found.iterations == expected.iterations
    assert found.correlated is not None
    assert robust(game, [], mm.QAscent()).iterations == mm.solve(game, "q-ascent").iterations


def test_numbers_do_not_depend_on_the_workers():
    families = {s: tasks("safe-distancing", 3, 0.02, s, agents=3) for s in range(2)}
    one, two = (mm.compare(families, "robust", "q-ascent", n_jobs=n).rows for n in (1, 2))
    assert [r | {"seconds": 0} for r in one] == [r | {"seconds": 0} for r in two]


@pytest.mark.parametrize("stop", [2, 4])  # solves before Ctrl-C: in the first racer, in the second
def test_an_interrupted_race_is_no_answer(stop, monkeypatch):
    games, count = [ASYMMETRIC] * 3, 0
    advance = type(mm.QAscent().start(ASYMMETRIC, np.full(4, 0.5))).advance

    def interrupted(run: AbstractRun, iterations: int) -> int:
        nonlocal count
        count += 1
        if count > seen[stop]:
            raise KeyboardInterrupt
        return advance(run, iterations)

    single = mm.solve(ASYMMETRIC, "q-ascent", tol=1e-2)
    calls = len(single.trace)
    seen = {2: 2 * calls, 4: 3 * calls + 1}  # none 0, robust 0 | none 1, learned | scratch
    monkeypatch.setattr("metamarl.algorithms._policy_gradient_run.AscentRun.advance", interrupted)
    found = mm.compare(games, "robust", "q-ascent")
    assert found.interrupted
    assert len(found.rows) in (2, 3)
