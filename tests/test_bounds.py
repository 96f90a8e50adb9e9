"""Estimates of the theory: constants by hand, against what is measured, and from nearer starts."""

import csv
import math

import numpy as np
import pytest

import metamarl as mm
from metamarl.bounds import _entropic
from metamarl.envs import MarkovGame, make, tasks
from metamarl.plot import _draw

LOG2 = math.log(2)
THEORY = mm.OptimisticMirrorDescent(step_size="theory")


def one_shot(*payoffs):
    """One state, one round; the players' payoffs."""
    R = np.array(payoffs, float)[:, None]
    return MarkovGame(np.ones((*R.shape[1:], 1)), R, horizon=1)


def zero_sum(Q):
    return one_shot(Q, -np.array(Q))


# Action 0 dominates for both players; the rewards span 2.
DOMINANT = zero_sum([[0.0, 1.0], [-1.0, 0.0]])


def bound_of(game, solver, init=None, limit=50, **options):
    solution = mm.solve(game, solver, init, tol=1e-12, max_iterations=limit, throw=False)
    return mm.convergence_bound(game, solution, **options)


def mixed(game, policy, part):
    """The policy, with this part of the uniform one."""
    pairs = zip(policy, mm.JointPolicy.uniform(game), strict=True)
    return mm.JointPolicy([(1 - part) * own + part * flat for own, flat in pairs])


# --- by hand


def test_zero_sum_by_hand():
    """H = 1, R = 2: η = k = 1/8, 8k² / (1 - 8k²) = 1/7; stages of 1, 2, 4, 8, ... iterations."""
    bound = bound_of(DOMINANT, THEORY)
    each = LOG2 + 2 * LOG2 / 7
    assert bound.distance == pytest.approx(2 * each)
    assert bound.slope == pytest.approx(8.0)
    expected = [np.inf, np.inf, 16 * each / 2, 16 * each / 2, 16 * each / 4, 16 * each / 8]
    np.testing.assert_allclose(bound([1, 2, 3, 6, 7, 15]), expected)


def test_euclidean_by_hand():
    """Times the root of 4 joint actions: η = 1/16; squared distances of 1/2 from a corner."""
    bound = bound_of(
        DOMINANT, mm.OptimisticMirrorDescent(step_size=1 / 16, regularizer="euclidean")
    )
    assert bound.distance == pytest.approx(2 * (0.25 + 0.5 / 7))
    assert bound.slope == pytest.approx(16.0)
    theory = mm.OptimisticMirrorDescent(step_size="theory", regularizer="euclidean")
    assert bound_of(DOMINANT, theory) == bound


def test_at_equilibrium_there_is_nothing_to_estimate():
    pennies = zero_sum([[1.0, -1.0], [-1.0, 1.0]])  # uniform is the equilibrium
    for regularizer in ("entropy", "euclidean"):
        solver = mm.OptimisticMirrorDescent(step_size="theory", regularizer=regularizer)
        assert bound_of(pennies, solver).distance == pytest.approx(
            0.0, abs=1e-7
        )  # the root of a rounding error


def test_the_largest_probability_in_a_divergence_ball():
    p, d, start = np.array([0.3, 0.0, 1.0, 0.3]), np.array([0.05, 0.2, 0.7, 0.0]), 0.25
    mask = np.ones(4, bool)
    q = start * np.exp(_entropic(p, np.full(4, start), mask, np.arange(4), d))
    assert 0.3 * np.log(0.3 / q[0]) + 0.7 * np.log(0.7 / (1 - q[0])) == pytest.approx(0.05)
    np.testing.assert_allclose(q[1:], [start, 1.0, 0.3])  # 1 - exp(-0.2) is below the start


def test_general_sum_by_hand():
    """Prisoners, once: both defect, which uniform players do with probability 1/2."""
    game = make("prisoners", horizon=1)
    R = float(np.ptp(game.table.reward, axis=1).max())
    bound = bound_of(game, mm.OptimisticMirrorDescent(step_size="theory", output="chained"))
    assert bound.distance == pytest.approx(math.sqrt(2) * LOG2 + 9 / 16 / math.sqrt(8))
    np.testing.assert_allclose(bound([3, 7]), R * bound.distance / np.array([2, 4]) ** 0.75)


def test_potential_by_hand():
    """Two hunters, rewards of span 4, 10 rounds: η = 1/4, B = 6√2; from 20 to 60 in potential."""
    game = make("stag-hunt")
    bound = bound_of(game, mm.QAscent(step_size="safe"))
    uniform = 10 * (4 / 4 + 3.0)
    assert bound.distance == pytest.approx(math.sqrt(60.0 - uniform), rel=1e-6)
    assert bound.slope == pytest.approx(6 * math.sqrt(2) * math.sqrt(2 * 0.25 * 10))
    np.testing.assert_allclose(bound([4, 0]), bound.slope * bound.distance / np.array([2.0, 1.0]))
    assert bound_of(game, mm.QAscent(step_size=0.25)).slope == pytest.approx(bound.slope)


# --- what they are for


@pytest.mark.parametrize(
    ("regularizer", "output", "step_size"),
    [
        ("entropy", "last-stage", "theory"),
        ("entropy", "chained", "theory"),
        ("entropy", "chained", 0.15),
        ("euclidean", "last-stage", "theory"),
    ],
)
def test_zero_sum_estimates_are_above_learned_starts(regularizer, output, step_size):
    solver = mm.OptimisticMirrorDescent(step_size=step_size, regularizer=regularizer, output=output)
    families = {
        seed: tasks("random", 3, spread, seed, states=4, actions=(3, 4), horizon=3)
        for seed, spread in enumerate([0.0, 0.01, 0.1, 0.1])
    }
    found = mm.compare(families, ["robust", "last"], solver, 0.02)
    assert_above(found, families)
    distances = {arm: np.mean([found.bounds[s, 2, arm].distance for s in (0, 1)]) for arm in ARMS}
    assert max(distances["robust"], distances["last"]) < 0.6 * distances["none"]


ARMS = ["none", "robust", "last"]


def assert_above(found, families):
    assert found.arms == ARMS
    compared = 0
    for key, trace in found.traces.items():
        if key not in found.bounds:
            continue
        said = found.bounds[key](trace.iteration)
        assert (said >= np.minimum.accumulate(trace.gap)).all(), key
        compared += int(np.isfinite(said).sum())
    assert compared > 20 * len(families)


def test_general_sum_estimates_are_above_learned_starts():
    solver = mm.OptimisticMirrorDescent(step_size="theory", output="chained")
    families = {0: tasks("prisoners", 3, 0.1, 0, horizon=3)}
    random = {"kind": "general-sum", "states": 3, "actions": (2, 3, 2), "horizon": 2}
    families[1] = tasks("random", 3, 0.05, 1, **random)
    for games in families.values():
        found = mm.compare(games, ["robust", "last"], solver, 0.1, max_iterations=20_000)
        assert_above(found, [games])


@pytest.mark.parametrize("step_size", ["safe", "theory", 1e-3])
@pytest.mark.parametrize(("game", "knobs"), [("stag-hunt", {"hunters": 3}), ("routing", {})])
def test_potential_bounds_are_above_what_is_measured(game, knobs, step_size):
    games = tasks(game, 3, 0.1, **knobs)
    solver = mm.QAscent(step_size=step_size)
    found = mm.compare(games, ["robust", "last"], solver, 0.1, max_iterations=2000)
    for key, bound in found.bounds.items():
        trace = found.traces[key]
        assert (bound(trace.iteration) >= np.minimum.accumulate(trace.gap)).all()
    assert {arm for _, _, arm in found.bounds} >= {"none", "last"}


def test_a_start_that_nearly_excludes_an_action_exceeds_the_estimate_by_less_than_twice():
    """Along the way another action is the best response than in the end, so it is no bound."""
    game = zero_sum([[0.74, -0.426], [0.206, 0.555]])
    solver = mm.OptimisticMirrorDescent(step_size="theory", output="chained")
    ratios = []
    for start in (mm.JointPolicy([np.array([[[0.98, 0.02]]])] * 2), None):
        found = mm.solve(game, solver, start, 1e-12, 800, throw=False)
        said = mm.convergence_bound(game, found)(found.trace.iteration)
        ratios.append((np.minimum.accumulate(found.trace.gap) / said).max())
    assert 1.5 < ratios[0] < 2.0
    assert ratios[1] <= 1.0


def test_nearer_starts_have_smaller_estimates():
    game = make("random", states=4, actions=(3, 4), horizon=3)
    equilibrium = mm.solve(game).policy
    for regularizer in ("entropy", "euclidean"):
        solver = mm.OptimisticMirrorDescent(step_size="theory", regularizer=regularizer)
        found = [
            bound_of(game, solver, mixed(game, equilibrium, part), 3000).distance
            for part in (1.0, 0.5, 0.2, 0.05)
        ]
        assert (np.diff(found) < 0).all()
        assert found[-1] < 0.4 * found[0]
    hunt = make("stag-hunt")
    hares = mm.solve(hunt).policy
    found = [
        bound_of(hunt, mm.QAscent(step_size="safe"), mixed(hunt, hares, part)).distance
        for part in (1.0, 0.5, 0.2, 0.05)
    ]
    assert (np.diff(found) < 0).all()


def test_an_equilibrium_may_be_given():
    game = make("random", states=3, actions=(2, 2), horizon=2)
    own = bound_of(game, THEORY, equilibrium=mm.solve(game).policy)
    assert own.distance == pytest.approx(bound_of(game, THEORY).distance, rel=1e-6)
    uniform = mm.JointPolicy.uniform(game)
    assert bound_of(game, THEORY, equilibrium=uniform).distance == pytest.approx(
        0.0, abs=1e-7
    )  # the root of a rounding error


@pytest.mark.parametrize(
    ("game", "options"),
    [
        ("random", {}),
        ("random", {"step_size": 1.0}),
        ("random", {"step_size": "theory", "output": "average"}),
        ("random", {"step_size": "theory", "optimism": False}),
        ("stopping", {"step_size": "theory"}),
        ("prisoners", {"step_size": "theory"}),
        ("prisoners", {"step_size": 0.01, "output": "chained"}),
        ("prisoners", {"step_size": "theory", "output": "chained", "equilibrium": "ce"}),
    ],
)
def test_no_estimate_outside_the_theory(game, options):
    assert bound_of(make(game), mm.OptimisticMirrorDescent(**options), limit=12) is None


def test_no_bound_for_other_ascents():
    hunt = make("stag-hunt")
    for solver in (mm.QAscent(), mm.QAscent(step_size=0.26), mm.PolicyGradient(step_size=1e-3)):
        assert bound_of(hunt, solver, limit=3) is None
    moving = make("random", kind="potential", actions=(2, 2))
    assert bound_of(moving, mm.QAscent(step_size="safe"), limit=3) is None
    assert bound_of(make("tictactoe"), "exact") is None
    raced = mm.Robust().solve(
        hunt, [mm.JointPolicy.uniform(hunt)], mm.QAscent(step_size="safe"), 1e-3, 100
    )
    assert raced.init is None or mm.convergence_bound(hunt, raced) is not None


def test_bad_input():
    solution = mm.solve(DOMINANT, THEORY, tol=0.5)
    for arguments, name in (
        ((None, solution), "game"),
        ((DOMINANT, DOMINANT), "solution"),
        ((DOMINANT, solution, [[1]]), "equilibrium"),
    ):
        with pytest.raises(TypeError, match=f"^The '{name}' parameter of convergence_bound"):
            mm.convergence_bound(*arguments)
    other = mm.JointPolicy.uniform(make("random"))
    with pytest.raises(ValueError, match="policy"):
        mm.convergence_bound(DOMINANT, solution, other)


def test_the_figure_and_the_files_hold_them(tmp_path):
    games = tasks("random", 3, 0.01, states=3, actions=(2, 3), horizon=2)
    found = mm.compare(games, "robust", THEORY, 0.02)
    assert set(found.bounds) == {(0, k, arm) for k in range(3) for arm in ("none", "robust")}
    figure = _draw(found)
    assert figure.legends[0].get_texts()[-1].get_text() == "theory (estimate)"
    dotted = [line for line in figure.axes[0].get_lines() if line.get_linewidth() == 1.4]
    assert len(dotted) == 2
    assert all(line.get_ydata().min() >= 0.02 for line in dotted)
    folder = found.save(tmp_path / "run")
    with (folder / "traces.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["bound"] == ""
    last = [row for row in rows if row["arm"] == "none" and row["task"] == "0"][-1]
    assert float(last["bound"]) >= float(last["gap"])
    plain = mm.compare(games, "robust", "omd", 0.02)
    assert not plain.bounds
    assert "theory (estimate)" not in [t.get_text() for t in _draw(plain).legends[0].get_texts()]
