"""The guarantee: gap · T stays bounded, and the closer the start, the smaller the gap at T.

Figures measured before (random games, last-stage average, T = 1e3 / 1e4 / 3e4, step size 1/(4H),
1/H and 4/H): (S, A, H) = (2, 2, 2): 59/76/66, 12.8/15.4/14.4, 2.6/3.5/3.1; (5, 3, 3): 259/278/260,
64/65/59, 14.6/14.4/13.6; without optimism gap · T grew from 61 to 777.
"""

import itertools
import math

import numpy as np
import pytest
from test_kernels import stage_ends

from metamarl.algorithms.evaluator import Evaluator
from metamarl.algorithms.optimistic_mirror_descent import OptimisticMirrorDescent
from metamarl.algorithms.policy import JointPolicy
from metamarl.algorithms.solve import solve
from metamarl.envs import make

SIZES = [(2, 2, 2), (5, 3, 3)]
FIRST, LAST = 1_000, 30_000


def random_game(size, seed):
    S, A, H = size
    return make("random", states=S, actions=(A, A), horizon=H, seed=seed)


def solved(game, init=None, iterations=LAST, **options):
    solver = OptimisticMirrorDescent(**options)
    return solve(game, solver, init, tol=1e-300, max_iterations=iterations, throw=False)


def run(game, **options):
    """Iterations at which stages end, and the gaps there."""
    trace = solved(game, **options).trace
    ends = np.isin(trace.iteration, stage_ends(game.horizon, 60))
    return trace.iteration[ends], trace.gap[ends]


def rate(size, seed, **options):
    """Slope of log gap against log T, and gap · T, over the ends of the late stages."""
    T, gaps = run(random_game(size, seed), **options)
    T, gaps = T[T >= FIRST], gaps[T >= FIRST]
    return np.polyfit(np.log(T), np.log(gaps), 1)[0], gaps * T


def step(size, factor):
    return factor if isinstance(factor, str) else factor / size[-1]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("regularizer", "factor", "largest"),
    [
        ("entropy", "theory", {2: 90, 3: 350}),
        ("entropy", 1, {2: 25, 3: 90}),
        ("entropy", 4, {2: 6, 3: 20}),
        ("entropy", "adaptive", {2: 3, 3: 10}),
        ("euclidean", "theory", {2: 90, 3: 350}),
        ("euclidean", 1, {2: 10, 3: 30}),
        ("euclidean", "adaptive", {2: 3, 3: 10}),
    ],
)
def test_gap_times_iterations_stays_bounded(regularizer, factor, largest, size):
    slopes = []
    for seed in range(10 if factor == "adaptive" else 3):
        slope, product = rate(size, seed, regularizer=regularizer, step_size=step(size, factor))
        assert product.max() < largest[size[-1]]
        slopes.append(slope)
    assert np.mean(slopes) < -0.9
    assert max(slopes) < -0.8


@pytest.mark.parametrize("output", ["last-stage", "chained"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_theorem_holds_with_room(size, output):
    """Gap ≤ 16e (1 + 1/H)³ H³ max D / T, with D ≤ log A for each player from uniform starts."""
    A, H = size[1:]
    bound = 16 * math.e * (1 + 1 / H) ** 3 * H**3 * 2 * math.log(A)
    for seed in range(3):
        T, gaps = run(random_game(size, seed), step_size="theory", output=output)
        late = T > 5 * H**2
        assert (gaps * T)[late].max() < bound / 5


def test_other_outputs_have_the_rate_too():
    """The chained one is the theorem's; averaging over all stages loses a logarithm."""
    slopes = {
        output: [rate((5, 3, 3), seed, step_size=1 / 3, output=output)[0] for seed in range(3)]
        for output in ("chained", "average")
    }
    assert max(slopes["chained"]) < -0.9
    assert max(slopes["average"]) < -0.75


@pytest.mark.parametrize("regularizer", ["entropy", "euclidean"])
def test_without_optimism_it_grows(regularizer):
    for seed in range(3):
        options = {"regularizer": regularizer, "step_size": 1 / 3}
        with_it, bounded = rate((5, 3, 3), seed, **options)
        without, growing = rate((5, 3, 3), seed, **options, optimism=False)
        assert without > -0.75
        assert without - with_it > 0.25
        assert growing[-1] > 2 * growing[0]
        assert bounded[-1] < 1.3 * bounded[0]
        assert growing[-1] > 3 * bounded[-1]


def near(game, part):
    """An equilibrium, mixed with a part of the uniform policies."""
    flat = solve(game, "exact", tol=1e-9).policy.flat(game)
    mixed = (1 - part) * flat + part * JointPolicy.uniform(game).flat(game)
    return JointPolicy.from_flat(game, mixed)


@pytest.mark.parametrize("first_values", ["zero", "policy"])
@pytest.mark.parametrize(
    ("regularizer", "factor"),
    [("entropy", 1), ("entropy", "theory"), ("euclidean", 1), ("euclidean", "theory")],
)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_nearer_start_has_a_smaller_gap(size, regularizer, factor, first_values):
    parts = [1.0, 0.3, 0.1, 0.03, 0.01, 0.001]
    for seed in range(3):
        game = random_game(size, seed)
        options = {
            "regularizer": regularizer,
            "step_size": step(size, factor),
            "first_values": first_values,
        }
        gaps = [solved(game, near(game, part), 2_000, **options).gap for part in parts]
        assert all(b < a or b < 1e-15 for a, b in itertools.pairwise(gaps))
        assert gaps[-1] < 0.05 * gaps[0]


@pytest.mark.parametrize("step_size", [0.5, "theory", "adaptive"])
def test_equilibrium_stays_where_it_is(step_size):
    """With Euclidean steps, as soon as the values to come are known: after H stages or at once."""
    for seed in range(3):
        game = random_game((5, 3, 3), seed)
        for first_values, stages in (("zero", game.horizon), ("policy", 0)):
            solver = OptimisticMirrorDescent(
                regularizer="euclidean", step_size=step_size, first_values=first_values
            )
            judge, at_work = Evaluator(game), solver.start(game, near(game, 0.0).flat(game))
            gaps = []
            for _ in range(15):
                at_work.advance(10**9)
                gaps.append(judge.nash_gap(at_work.policy()))
            assert max(gaps[stages:]) < 1e-12
